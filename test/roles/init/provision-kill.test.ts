import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { compileBinary } from "../../../build/binary.ts";
import type { Failpoint } from "../../../src/roles/init/provision/failpoint.ts";
import { selfCommand } from "../../../src/system/self.ts";
import { makeBusyboxRootfs } from "../../support/busybox-rootfs.ts";
import { rejection } from "../../support/rejection.ts";
import { TestMachine } from "./machine.ts";
import { provision, provisionDelta, ProvisionStream } from "./provision-client.ts";

/**
 * kill -9 of a real keeper, with its child, its link and its guest, at every step of provisioning. The
 * next boot runs the old root filesystem or the new one, /root and /home are as they were, and the
 * next provisioning gets through.
 */
setDefaultTimeout(180_000);

const scratch = mkdtempSync(join(tmpdir(), "fv-kill-"));
afterAll(() => rmSync(scratch, { recursive: true }));

function archiveOf(mark: string): Uint8Array {
  const root = join(scratch, mark);
  makeBusyboxRootfs(root, { init: "none" });
  writeFileSync(join(root, "etc/mark"), `${mark}\n`);
  writeFileSync(join(root, "root/seed"), `from ${mark}\n`);
  const made = Bun.spawnSync(["tar", "-C", root, "-cz", "."], {
    env: { PATH: process.env["PATH"] ?? "" },
  });
  return new Uint8Array(made.stdout);
}

const old = archiveOf("old");
const fresh = archiveOf("new");

/** A machine with the old root filesystem, and the user's own files on it. */
async function usedMachine(env: Readonly<Record<string, string>>): Promise<TestMachine> {
  const machine = await TestMachine.boot({ rootfs: null, env });
  await provision(machine, old);
  await machine.shell("echo mine >/root/mine; mkdir -p /home/dev; echo mine >/home/dev/mine");
  return machine;
}

async function ended(pid: number): Promise<void> {
  const deadlineMs = performance.now() + 30_000;
  while (existsSync(`/proc/${pid}`)) {
    if (performance.now() > deadlineMs) throw new Error("It lives on");
    await Bun.sleep(10);
  }
}

/** Boots again after the end, looks around, and provisions once more. */
async function afterwards(machine: TestMachine, mark: string): Promise<void> {
  // Takes note of the end; what is dead stays so.
  await machine.kill();
  await machine.start();
  const { stdout } = await machine.shell(
    "cat /etc/mark /root/seed /root/mine /home/dev/mine; busybox echo whole",
  );
  expect(stdout).toBe(`${mark}\nfrom old\nmine\nmine\nwhole\n`);
  const previous = join(machine.dataDir, "rootfs.previous/etc/mark");
  expect(existsSync(previous) ? readFileSync(previous, "utf8") : "none").toBe(
    mark === "new" ? "old\n" : "none",
  );
  const tops = new Set([".fly-vault", "persist", "rootfs", "rootfs.previous"]);
  expect(readdirSync(machine.dataDir).filter((name) => !tops.has(name))).toEqual([]);
  await provision(machine, fresh);
  expect((await machine.shell("cat /etc/mark /root/mine")).stdout).toBe("new\nmine\n");
}

const steps: readonly (readonly [Failpoint, string])[] = [
  ["stage", "old"],
  ["unpack", "old"],
  ["sync", "old"],
  ["digest", "old"],
  ["seal", "old"],
  ["stop", "old"],
  ["seed", "old"],
  ["switch", "old"],
  ["keep", "new"],
  ["record", "new"],
  ["boot", "new"],
];

/** Some send all of the new one, some what the old one lacks of it: the steps are the same. */
const deltaSteps: ReadonlySet<Failpoint> = new Set(["unpack", "sync", "digest", "switch", "boot"]);

test.each(steps)("killed before %s, it boots the %s one", async (step, mark) => {
  // The first passing is that of the old one.
  await using machine = await usedMachine({ FV_FAILPOINT: `${step}:2` });
  const { pid } = machine;
  const again = deltaSteps.has(step) ? provisionDelta(machine, fresh) : provision(machine, fresh);
  expect(await rejection(again)).toBeInstanceOf(Error);
  await ended(pid);
  await afterwards(machine, mark);
});

test("killed with half of an upload, it boots the old one", async () => {
  await using machine = await usedMachine({});
  const upload = await ProvisionStream.open(machine);
  await upload.send(fresh, fresh.length / 2);
  const told = rejection(upload.result());
  const child = await machine.descendant(" unpack ");
  await machine.kill();
  expect(await told).toBeInstanceOf(Error);
  await ended(child);
  await afterwards(machine, "old");
});

test("killed when the new one has booted, before anybody heard of it, it boots the new one", async () => {
  await using machine = await usedMachine({});
  const told = provision(machine, fresh);
  told.catch(() => undefined);
  while (machine.log.split('"event":"workload started"').length < 3) await Bun.sleep(1);
  await machine.kill();
  await afterwards(machine, "new");
});

test("a boot can be killed too, and a released binary cannot", async () => {
  const binary = join(scratch, "fly-vault");
  await compileBinary(binary);
  expect(await bootWithFailpoint(selfCommand("init"))).toEqual({ ready: false, end: "SIGKILL" });
  expect(await bootWithFailpoint([binary, "init"])).toEqual({ ready: true, end: 0 });
});

/** How it ended, asked to stop once it was ready. */
async function bootWithFailpoint(init: readonly string[]): Promise<unknown> {
  const folder = mkdtempSync(join(scratch, "boot-"));
  const child = Bun.spawn([...init], {
    env: {
      PATH: process.env["PATH"] ?? "",
      FLY_APP_NAME: "test-app",
      FLY_MACHINE_ID: "148e21ea7e46e8",
      VAULT_LISTEN: "127.0.0.1:0",
      VAULT_DATA_DIR: join(folder, "data"),
      VAULT_RUN_DIR: join(folder, "run"),
      VAULT_API_SOCKET: join(folder, "api"),
      FV_FAILPOINT: "repair",
    },
    stdio: ["ignore", "ignore", "pipe"],
  });
  let log = "";
  let ready = false;
  for await (const bytes of child.stderr) {
    log += Buffer.from(bytes).toString();
    if (ready || !log.includes('"event":"ready"')) continue;
    ready = true;
    child.kill("SIGTERM");
  }
  await child.exited;
  return { ready, end: child.signalCode ?? child.exitCode };
}
