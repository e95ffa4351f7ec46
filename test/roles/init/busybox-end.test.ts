import { expect, setDefaultTimeout, test } from "bun:test";
import { closeSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { sleepsAlone } from "../../../src/roles/init/busybox-end.ts";
import { openPipe } from "../../../src/system/process-pipe.ts";
import { makeBusyboxRootfs } from "../../support/busybox-rootfs.ts";
import { TestMachine } from "./machine.ts";
import { archiveOf, provision } from "./provision-client.ts";

setDefaultTimeout(120_000);

const cutShort = "workload sleeps alone";
const next = (): Uint8Array => archiveOf("second");

async function boot(
  inittab: string,
  scripts: Readonly<Record<string, string>> = {},
): Promise<TestMachine> {
  const machine = await TestMachine.boot({
    rootfs: (root) => {
      makeBusyboxRootfs(root);
      writeFileSync(join(root, "etc/inittab"), `${inittab}\n`);
      for (const [name, script] of Object.entries(scripts))
        writeFileSync(join(root, "bin", name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
    },
    env: { VAULT_STOP_GRACE: "20s" },
  });
  while (!(await machine.shell("ps")).stdout.includes("sleep 1000")) await Bun.sleep(20);
  return machine;
}

test("BusyBox is not left to sleep when nobody else is there; what its inittab wants comes first", async () => {
  const lines = [
    "::respawn:/bin/sleep 1000",
    "::shutdown:/bin/sleep 0.5",
    "::shutdown:/bin/touch /root/was-shut-down",
  ];
  await using machine = await boot(lines.join("\n"));
  await provision(machine, next());
  expect(machine.log).toContain(cutShort);
  expect(existsSync(join(machine.dataDir, "persist/root/was-shut-down"))).toBe(true);
  expect(machine.log).not.toContain("workload killed");
});

test("a service has the second that BusyBox gives it, also one in a PID namespace below", async () => {
  const service = `
    trap 'sleep $2; echo saved >/root/$1; exit' TERM
    touch /root/$1-is-up
    while :; do sleep 1000 & wait; done`;
  // Its first process loses its parent, and gets PID 1 for one.
  const nested = "/bin/service below 0.4 & while :; do sleep 1000; done";
  const isUp = "until [ -e /root/below-is-up ]; do sleep 0.02; done";
  const orphan = `/bin/unshare -p -f /bin/sh -c '${nested}' & ${isUp}; kill -9 $!; sleep 1000`;
  const lines = ["::respawn:/bin/service here 0", "::once:/bin/orphan"];
  await using machine = await boot(lines.join("\n"), { service, orphan });
  const names = ["here", "below"];
  const persisted = (name: string) => join(machine.dataDir, "persist/root", name);
  while (!names.every((name) => existsSync(persisted(`${name}-is-up`)))) await Bun.sleep(20);
  await machine.shell("while pidof unshare; do sleep 0.05; done");
  await provision(machine, next());
  for (const name of names) expect(readFileSync(persisted(name), "utf8")).toBe("saved\n");
});

test("a machine that goes down waits for all of it", async () => {
  await using machine = await boot("::respawn:/bin/sleep 1000");
  expect(await machine.stop()).toBe(0);
  expect(machine.log).toContain("workload ended");
  expect(machine.log).not.toContain(cutShort);
});

test("a script of BusyBox's shell is no init of BusyBox: it has its whole grace", async () => {
  await using machine = await TestMachine.boot({
    rootfs: (root) => makeBusyboxRootfs(root, { init: { script: "#!/bin/sh\nexec sleep 1000\n" } }),
    env: { VAULT_STOP_GRACE: "500ms" },
  });
  await provision(machine, next());
  expect(machine.log).toContain("workload killed");
  expect(machine.log).not.toContain(cutShort);
});

test("only a sleep of BusyBox as the first process of a PID namespace counts", async () => {
  const first = ["unshare", "--pid", "--fork", "--kill-child"];
  await using asInit = spawn([...first, "busybox", "sleep", "1000"]);
  const silence = openPipe();
  await using reading = spawn([...first, "busybox", "cat"], silence.readFd);
  await using other = spawn([...first, "sleep", "1000"]);
  await using outside = spawn(["busybox", "sleep", "1000"]);
  while (!sleepsAlone(await childOf(asInit.pid))) await Bun.sleep(5);
  for (const pid of [await childOf(reading.pid), await childOf(other.pid), outside.pid, 2 ** 30])
    expect(sleepsAlone(pid)).toBe(false);
  for (const fd of [silence.readFd, silence.writeFd]) closeSync(fd);
});

function spawn(command: readonly string[], stdin: number | "ignore" = "ignore") {
  return Bun.spawn([...command], {
    env: { PATH: process.env["PATH"] ?? "" },
    stdio: [stdin, "ignore", "ignore"],
    // A SIGTERM is nothing to an unshare that waits.
    killSignal: "SIGKILL",
  });
}

/** Once it runs its program. */
async function childOf(pid: number): Promise<number> {
  for (;;) {
    const child = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim();
    if (child !== "" && readFileSync(`/proc/${child}/comm`, "utf8") !== "unshare\n")
      return Number(child);
    await Bun.sleep(5);
  }
}
