import { expect, setDefaultTimeout, test } from "bun:test";
import { TestMachine } from "./machine.ts";
import {
  archiveOf,
  archiveWithInit,
  codeOf,
  markOf,
  provision,
  ProvisionStream,
  rollBack,
  sha256Of,
} from "./provision-client.ts";

setDefaultTimeout(120_000);

/** Its inits need not be asked for long. */
const coldMachine = (): Promise<TestMachine> =>
  TestMachine.boot({ rootfs: null, env: { VAULT_STOP_GRACE: "300ms" } });

const restored = '"event":"rootfs-rolled-back"';
/** The restart of a workload takes half a second; what would come of it came by then. */
const afterwardsMs = 1500;

test("back to the previous root filesystem, and forth again", async () => {
  await using machine = await coldMachine();
  const first = await provision(machine, archiveOf("first"));
  const second = await provision(machine, archiveOf("second"));
  await machine.shell("echo mine >/root/mine");
  const back = await rollBack(machine);
  expect(back).toMatchObject({
    sha256: first.sha256,
    status: { rootfs_sha256: first.sha256, vm_state: "ready", runtime: "fallback-init" },
  });
  expect(await markOf(machine)).toBe("first");
  expect((await machine.run(["cat", "/root/mine"])).stdout).toBe("mine\n");
  await machine.stop();
  await machine.start();
  expect(await markOf(machine)).toBe("first");
  expect((await rollBack(machine)).sha256).toBe(second.sha256 ?? "");
  expect(await markOf(machine)).toBe("second");
});

test("going back is done once, also where the machine was restarted before anybody heard of it", async () => {
  await using machine = await coldMachine();
  await provision(machine, archiveOf("first"));
  const { sha256 } = await provision(machine, archiveOf("second"));
  const wish = { id: "back", source: { kind: "previous", instead_of: sha256 } } as const;
  await (await ProvisionStream.open(machine, wish)).result();
  await machine.kill();
  await machine.start();
  const session = await machine.open({ argv: ["cat"] });
  const done = await (await ProvisionStream.open(machine, wish)).result();
  expect(done.sha256).toBe((await machine.status()).rootfs_sha256 ?? "");
  expect(await markOf(machine)).toBe("first");
  await session.endInput();
  expect((await session.outcome()).exit).toEqual({ code: 0 });
});

test("without a previous one there is nothing to go back to, and nothing is stopped", async () => {
  await using machine = await coldMachine();
  expect(await codeOf(rollBack(machine))).toBe("not-found");
  await provision(machine, archiveOf("first"));
  const session = await machine.open({ argv: ["cat"] });
  expect(await codeOf(rollBack(machine))).toBe("not-found");
  await session.endInput();
  expect((await session.outcome()).exit).toEqual({ code: 0 });
});

test("a previous one that does not boot any more gives way to the one that was left", async () => {
  await using machine = await coldMachine();
  await provision(
    machine,
    archiveWithInit("first", "[ -e /root/broken ] && exit 5; exec sleep 1000"),
  );
  await provision(machine, archiveOf("second"));
  await machine.shell("touch /root/broken");
  let failure: unknown;
  let asked = 0;
  // On a busy computer its end may come after the watch over its start; then it is left by itself, and asked for again.
  for (; failure === undefined && asked < 5; asked += 1) {
    failure = await rollBack(machine).then(
      () => undefined,
      (error: unknown) => error,
    );
    while ((await markOf(machine).catch(() => "")) !== "second") await Bun.sleep(50);
  }
  expect(failure).toMatchObject({
    code: "workload-failed",
    message: expect.stringContaining("exit code 5"),
  });
  // That was the answer to a request: nobody needs to be told again.
  if (asked === 1) expect((await machine.status()).rolled_back).toBeUndefined();
});

test("a new one whose init dies within its probation is left by itself, and the status says so", async () => {
  await using machine = await coldMachine();
  const first = await provision(machine, archiveOf("first"));
  const bad = archiveWithInit("second", "sleep 4; exit 7");
  expect((await provision(machine, bad)).status.runtime).toBe("system-init");
  await machine.untilLogged(restored);
  expect(await markOf(machine)).toBe("first");
  const rolled_back = {
    sha256: sha256Of(bad),
    because: expect.stringMatching(/^its init ended after \d+\.\d s: exit code 7$/),
  };
  expect(await machine.status()).toMatchObject({ rootfs_sha256: first.sha256, rolled_back });
  await machine.stop();
  await machine.start();
  expect(await machine.status()).toMatchObject({ rootfs_sha256: first.sha256, rolled_back });
  // Refused ones change nothing about it, the next good one does.
  expect(await codeOf(provision(machine, new Uint8Array(1000).fill(0x5a)))).toBe("archive-format");
  expect((await machine.status()).rolled_back).toBeDefined();
  expect((await provision(machine, archiveOf("third"))).status.rolled_back).toBeUndefined();
  await machine.stop();
  await machine.start();
  expect((await machine.status()).rolled_back).toBeUndefined();
});

test("an init that is killed counts as one that died", async () => {
  await using machine = await coldMachine();
  await provision(machine, archiveOf("first"));
  await provision(machine, archiveWithInit("second", "exec sleep 1000"));
  process.kill(await machine.descendant("sleep 1000"), "SIGKILL");
  await machine.untilLogged(restored);
  expect((await machine.status()).rolled_back?.because).toEndWith("signal 9");
});

/** Asks for it once, a moment after its start. */
const initThatAsks = (seconds: string, word: string): string =>
  `[ -e /root/asked ] || { touch /root/asked; sleep ${seconds}; ${word} -f; }\nexec sleep 1000`;

test("a reboot from inside is no failure of a new one", async () => {
  await using machine = await coldMachine();
  await provision(machine, archiveOf("first"));
  await provision(machine, archiveWithInit("second", initThatAsks("4", "reboot")));
  await machine.descendant("sleep 1000");
  await Bun.sleep(afterwardsMs);
  expect(machine.log).not.toContain(restored);
  expect(await markOf(machine)).toBe("second");
  expect((await machine.status()).rolled_back).toBeUndefined();
});

test.each(["poweroff", "halt"])(
  "a %s from inside is none either: the machine is off",
  async (word) => {
    await using machine = await coldMachine();
    await provision(machine, archiveOf("first"));
    // Started again below, it asks again: what is looked at there must be through by then.
    await provision(machine, archiveWithInit("second", initThatAsks("4", word)));
    await machine.untilLogged('"event":"stopped"');
    expect(await machine.stop()).toBe(0);
    await machine.start();
    expect(await markOf(machine)).toBe("second");
    expect((await machine.status()).rolled_back).toBeUndefined();
  },
);

test.each(["reboot", "poweroff"])(
  "one that asks for a %s as it boots does not boot",
  async (word) => {
    await using machine = await coldMachine();
    await provision(machine, archiveOf("first"));
    const second = archiveWithInit("second", initThatAsks("0", word));
    expect(await codeOf(provision(machine, second))).toBe("workload-failed");
    expect(await markOf(machine)).toBe("first");
  },
);

test("the first one ever has nothing to give way to: it is started again and again", async () => {
  await using machine = await coldMachine();
  await provision(machine, archiveWithInit("first", "sleep 4; exit 3"));
  await machine.untilLogged('"event":"rootfs-does-not-stay-up"');
  while ((machine.log.match(/"event":"workload started"/g)?.length ?? 0) < 2) await Bun.sleep(10);
  expect((await machine.status()).rolled_back).toBeUndefined();
});

test("a stop of the machine during the probation is no failure", async () => {
  await using machine = await coldMachine();
  await provision(machine, archiveOf("first"));
  await provision(machine, archiveWithInit("second", "trap 'exit 0' TERM; sleep 1000 & wait"));
  await machine.stop();
  expect(machine.log).not.toContain(restored);
  await machine.start();
  expect(await markOf(machine)).toBe("second");
});
