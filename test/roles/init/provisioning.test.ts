import { expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { late, within } from "../../../src/system/within.ts";
import { rejection } from "../../support/rejection.ts";
import { TestMachine } from "./machine.ts";
import {
  archiveOf,
  archiveWithInit,
  codeOf,
  markOf,
  provision,
  ProvisionStream,
} from "./provision-client.ts";

setDefaultTimeout(120_000);

test.each(["--gzip", "--zstd", ""] as const)(
  "a cold machine becomes ready (tar %s)",
  async (compression) => {
    await using machine = await TestMachine.boot({ rootfs: null });
    const done = await provision(machine, archiveOf("first", compression));
    expect(done.status).toMatchObject({
      vm_state: "ready",
      runtime: "fallback-init",
      rootfs_sha256: done.sha256,
    });
    expect(await markOf(machine)).toBe("first");
    expect((await machine.run(["cat", "/root/seed"])).stdout).toBe("from the first image\n");
  },
);

test("a second root filesystem takes over; /root and /home stay; the digest survives a restart", async () => {
  await using machine = await TestMachine.boot({ rootfs: null });
  await provision(machine, archiveOf("first"));
  await machine.shell("echo mine >/root/mine; mkdir -p /home/dev; echo mine >/home/dev/mine");
  const done = await provision(machine, archiveOf("second"));
  expect(await markOf(machine)).toBe("second");
  const { stdout } = await machine.shell("cat /root/mine /home/dev/mine");
  expect(stdout).toBe("mine\nmine\n");
  await machine.stop();
  await machine.start();
  expect((await machine.status()).rootfs_sha256).toBe(done.sha256);
  expect(await markOf(machine)).toBe("second");
});

test("what goes wrong before the switch leaves the old one running, its sessions too", async () => {
  await using machine = await TestMachine.boot({ rootfs: null });
  const good = archiveOf("first");
  const noise = new Uint8Array(100_000).fill(0x5a);
  await provision(machine, good);
  const session = await machine.open({ argv: ["cat"] });
  expect(await codeOf(provision(machine, noise))).toBe("archive-format");
  expect(await codeOf(provision(machine, good.subarray(0, good.length / 2)))).toBe(
    "archive-truncated",
  );
  const pinned = await ProvisionStream.open(machine, { sha256: "0".repeat(64) });
  await pinned.send(good);
  expect(await codeOf(pinned.finish())).toBe("digest-mismatch");
  await session.write("still here");
  await session.endInput();
  expect((await session.outcome()).stdout).toBe("still here");
  expect(await markOf(machine)).toBe("first");
  expect((await machine.status()).vm_state).toBe("ready");
});

test("a root filesystem that does not boot gives way to the one before", async () => {
  await using machine = await TestMachine.boot({ rootfs: null });
  await provision(machine, archiveOf("first"));
  const broken = archiveOf("second", "--gzip", (root) => {
    // A folder where a file has to be mounted.
    mkdirSync(join(root, "etc/hosts"));
  });
  expect(await codeOf(provision(machine, broken))).toBe("workload-failed");
  expect(await machine.status()).toMatchObject({ vm_state: "ready", runtime: "fallback-init" });
  expect(await markOf(machine)).toBe("first");
});

test("an init that runs and ends at once gives way to the one before", async () => {
  await using machine = await TestMachine.boot({ rootfs: null });
  const broken = archiveWithInit("second", "exit 3");
  let error: unknown;
  // On a busy computer its end may come after the watch over its start.
  for (let tries = 0; error === undefined && tries < 5; tries += 1) {
    await provision(machine, archiveOf("first"));
    error = await provision(machine, broken).then(
      () => undefined,
      (reason: unknown) => reason,
    );
  }
  expect(error).toMatchObject({ code: "workload-failed" });
  expect(String(error)).toContain("exit code 3");
  expect(await machine.status()).toMatchObject({ vm_state: "ready", runtime: "fallback-init" });
  expect(await markOf(machine)).toBe("first");
});

test("a stop while an archive is unpacked ends soon; the next boot has the old one and nothing else", async () => {
  await using machine = await TestMachine.boot({ rootfs: null });
  const archive = archiveOf("first");
  await provision(machine, archive);
  for (const end of ["stop", "kill"] as const) {
    const upload = await ProvisionStream.open(machine);
    await upload.send(archive.subarray(0, archive.length / 2));
    const unpack = await machine.descendant(" unpack ");
    const told = upload.result();
    told.catch(() => undefined);
    expect(await within<unknown>(machine[end](), 20_000)).not.toBe(late);
    // An error from a machine that could still speak, or a stream that ended: never "done".
    expect(await rejection(told)).toBeInstanceOf(Error);
    while (existsSync(`/proc/${unpack}`)) await Bun.sleep(10);
    await machine.start();
    expect(await markOf(machine)).toBe("first");
    const names = readdirSync(machine.dataDir).toSorted();
    expect(names).toEqual([".fly-vault", "persist", "rootfs"]);
  }
});

test("a stop while the trees change places is a stop: nothing is started any more", async () => {
  await using machine = await TestMachine.boot({
    rootfs: null,
    env: { VAULT_STOP_GRACE: "3s" },
  });
  await provision(machine, archiveWithInit("first", "trap '' TERM\nwhile :; do sleep 1; done"));
  const upload = await ProvisionStream.open(machine);
  await upload.send(archiveOf("second"));
  const told = upload.finish();
  told.catch(() => undefined);
  // The old init has been asked to end and does not listen: the switch waits for its grace.
  while (!upload.phases.has("switch")) await Bun.sleep(5);
  expect(await within(machine.stop(), 20_000)).toBe(0);
  expect(machine.log.split('"event":"stopping"')[1]).not.toContain("workload started");
  expect(await rejection(told)).toBeInstanceOf(Error);
  await machine.start();
  expect(["first", "second"]).toContain(await markOf(machine));
});
