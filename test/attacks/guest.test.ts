import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import {
  existsSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { leadOutside } from "../../src/roles/init/workload-root.ts";
import { bundle, makeBunRootfs } from "../support/bun-rootfs.ts";
import { TestMachine } from "../roles/init/machine.ts";

setDefaultTimeout(120_000);

/** Root in the guest against init: what docs/security.md says it cannot do, and what it says it can. */
const probeSource = join(import.meta.dir, "guest-probe.child.ts");
let machine: TestMachine;

beforeAll(async () => {
  const program = await bundle(probeSource);
  machine = await TestMachine.boot({
    rootfs: (root) => makeBunRootfs(root, program),
    env: { ACCESS_TOKEN: "canary-7f3a9c51e2d84b06a1" },
  });
  await machine.untilLogged('"event":"listening"');
});

afterAll(async () => {
  await machine[Symbol.asyncDispose]();
});

async function probe(name: string, ...words: (string | number)[]): Promise<unknown> {
  const { stdout, stderr } = await machine.run(["probe", name, ...words.map(String)]);
  if (stdout === "") throw new Error(stderr);
  return JSON.parse(stdout);
}

/** The same words on the outside, where nothing is in the way: a probe that always fails shows nothing. */
async function probeOutside(name: string, ...words: (string | number)[]): Promise<unknown> {
  const argv = [process.execPath, probeSource, name, ...words.map(String)];
  const child = Bun.spawn(argv, { env: {}, stdout: "pipe", stderr: "inherit" });
  return JSON.parse(await child.stdout.text());
}

test("files of the disk cannot be opened by their numbers, past the root", async () => {
  expect(await probe("open-by-handle")).toBe("EPERM");
  expect(await probeOutside("open-by-handle")).toBe("done");
});

test("init's processes are not there: no memory, no signal, no look", async () => {
  for (const pid of [machine.pid, machine.linkPid()]) {
    expect(await probe("look-into", pid)).toBe("ENOENT");
    expect(await probe("read-memory", pid)).toBe("ESRCH");
    expect(await probe("signal", pid)).toBe("ESRCH");
    expect(await probeOutside("look-into", pid)).toBe("done");
    expect(await probeOutside("signal", pid)).toBe("done");
  }
});

test("/proc shows its own processes, whose roots and folders are inside", async () => {
  const client = await machine.open({ argv: ["sleep", "100"], tty: true });
  const { stdout } = await machine.shell(
    "ls -ld /proc/[0-9]*/root /proc/[0-9]*/cwd | sed 's/.* //'; stat -L -c %d:%i / /proc/[0-9]*/root",
  );
  const lines = stdout.trim().split("\n");
  const roots = new Set(lines.filter((line) => line.includes(":")));
  const links = new Set(lines.filter((line) => !line.includes(":")));
  expect(roots.size).toBe(1);
  // A folder outside would be shown as unreachable.
  expect([...links].toSorted()).toEqual(["/", "/root"]);
  const { stdout: pids } = await machine.shell("ls /proc | grep '^[0-9]'");
  expect(pids.trim().split("\n").length).toBeLessThan(8);
  await client.signal(9);
  // What maps files maps those of inside: PID 1 as well, whose program is a copy.
  const maps = await machine.shell("cat /proc/1/maps /proc/self/maps; ls -l /proc/1/map_files");
  expect(maps.stdout).not.toContain(machine.folder);
  expect(maps.stdout).not.toContain("catatonit");
});

test("there is no way up from the folder one stands in", async () => {
  expect(await probe("climb-out")).toBe("at-root");
  const { stdout } = await machine.run(["sh", "-c", "cd /..; cd ../../..; pwd; ls -d bin"]);
  expect(stdout).toBe("/\nbin\n");
});

test("PID 1 and every session have their three descriptors and no more of ours", async () => {
  const first = await machine.shell("ls -l /proc/1/fd | sed 's/.* \\([0-9]\\) -> /\\1 /'");
  const fds = first.stdout.trim().split("\n").slice(1);
  // catatonit's own is the fourth.
  expect(fds).toEqual([
    "0 /dev/null",
    expect.stringMatching(/^1 pipe:/),
    expect.stringMatching(/^2 pipe:/),
    "3 anon_inode:[signalfd]",
  ]);
  const waiting = await Promise.all([
    machine.open({ argv: ["sleep", "100"] }),
    machine.open({ argv: ["sleep", "100"], tty: true }),
    machine.open({ argv: ["sleep", "100"], user: "dev" }),
  ]);
  const sleepers: number[] = [];
  // The kernel's list of children may miss some while others end.
  while (sleepers.length < waiting.length) {
    const found = machine.descendants().filter((pid) => commandOf(pid) === "sleep 100 ");
    sleepers.splice(0, sleepers.length, ...found);
  }
  for (const pid of sleepers) {
    expect(readdirSync(`/proc/${pid}/fd`).toSorted()).toEqual(["0", "1", "2"]);
    for (const fd of [0, 1, 2])
      expect(readlinkSync(`/proc/${pid}/fd/${fd}`)).toMatch(/^(pipe:|\/dev\/pts\/\d+$)/);
  }
  for (const client of waiting) await client.signal(9);
});

/** Empty when it has ended meanwhile. */
function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
  } catch {
    return "";
  }
}

test("terminals are the guest's own, and nobody in there holds a master of ours", async () => {
  const terminals = await Promise.all([machine.open({ tty: true }), machine.open({ tty: true })]);
  for (const terminal of terminals) await terminal.until("# ");
  const { stdout } = await machine.shell(
    "stat -c %d /dev/pts; ls -l /proc/[0-9]*/fd 2>/dev/null | grep -c ptmx; " +
      "mkdir -p /tmp/pts; mount -t devpts devpts /tmp/pts && ls /tmp/pts",
  );
  const [device, masters, ...mountedAgain] = stdout.trim().split("\n");
  expect(Number(device)).not.toBe(statSync("/dev/pts").dev);
  expect(masters).toBe("0");
  // Even mounted again, it is an empty one and not that of outside.
  expect(mountedAgain).toEqual(["ptmx"]);
  for (const terminal of terminals) await terminal.signal(1);
});

test("sockets: the keeper's is out of reach, and init has none without a file", async () => {
  expect(await probe("connect", machine.socket)).toBe("ENOENT");
  expect(await probeOutside("connect", machine.socket)).toBe("done");
  const { stdout } = await machine.shell("cat /proc/net/unix");
  // The network is shared, so its name is seen; inside it leads nowhere.
  expect(stdout).toContain(machine.socket);
  const abstract = new Set(
    [...stdout.matchAll(/ (\d+) @/g)].map((match) => `socket:[${match[1]}]`),
  );
  for (const pid of [machine.pid, machine.linkPid()]) {
    const links = readdirSync(`/proc/${pid}/fd`).map((fd) => linkOf(`/proc/${pid}/fd/${fd}`));
    expect(links.filter((link) => abstract.has(link))).toEqual([]);
  }
});

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return "";
  }
}

test("the outer files are not there, and those that stand inside are copies", async () => {
  const paths = ["/.fly", machine.folder, machine.runDir, machine.dataDir];
  const { stdout } = await machine.shell(`ls -d ${paths.join(" ")} 2>/dev/null; echo none`);
  expect(stdout).toBe("none\n");
  const { stdout: mounts } = await machine.shell("cat /proc/self/mountinfo");
  const ofDisk = mounts.split("\n").filter((line) => line.includes(machine.dataDir));
  expect(new Set(ofDisk.map((line) => line.split(" ")[4]))).toEqual(
    new Set(["/", "/home", "/root"]),
  );
  const { stdout: init } = await machine.shell("stat -L -c %d:%i /run/fly-vault/init /proc/1/exe");
  const { dev, ino } = statSync("/usr/bin/catatonit");
  expect(init.trim().split("\n")).not.toContain(`${dev}:${ino}`);
});

test("without capabilities, root's number opens nothing that leads outside", async () => {
  const closed = leadOutside.filter((path) => existsSync(path));
  expect(closed).toContain("/proc/sys/kernel/core_pattern");
  for (const path of closed.filter((file) => statSync(file).isFile()))
    expect({ path, result: await probe("append", path) }).toEqual({ path, result: "EROFS" });
  expect(await probeOutside("append", "/proc/sys/kernel/core_pattern")).toBe("done");
  // What programs of a usual machine set is theirs to set.
  for (const path of ["/proc/sys/net/ipv4/ip_forward", "/proc/sys/vm/overcommit_memory"])
    expect({ path, result: await probe("write", path) }).toEqual({ path, result: "done" });
});

test("the kernel takes no module, no ports and no look at its memory", async () => {
  expect(await probe("load-module")).toMatch(/EPERM|ENOSYS/);
  expect(await probe("reach-ports")).toMatch(/EPERM|ENOSYS/);
  expect(await probe("read-kernel")).toMatch(/EPERM|ENOENT/);
});

test("a session that is just starting cannot be looked into", async () => {
  const keepersName = readFileSync(`/proc/${machine.pid}/comm`, "utf8").trim();
  const watch = { isOver: false };
  const watching = probe("watch", 3000, 30_000, keepersName).finally(() => (watch.isOver = true));
  while (!watch.isOver) await machine.run(["true"]);
  const seen = (await watching) as { early: number; refused: number; opened: number };
  console.log(`seen before their program began: ${JSON.stringify(seen)}`);
  expect(seen.refused).toBeGreaterThan(0);
  expect(seen.opened).toBe(0);
});

test.each(["root", "dev"])(
  "a start that %s in there stops holds the other sessions up for a moment only",
  async (user) => {
    const before = machine.log.length;
    const keepersName = readFileSync(`/proc/${machine.pid}/comm`, "utf8").trim();
    const stopping = machine.run(["probe", "stop-newcomer", "20000", keepersName], { user });
    const signals = new Set<number>();
    while (!machine.log.slice(before).includes("held-up-start-ended")) {
      const { exit } = await machine.run(["true"], { user });
      if ("signal" in exit) signals.add(exit.signal);
    }
    expect((await stopping).stdout).toBe('"done"\n');
    expect((await machine.run(["true"])).exit).toEqual({ code: 0 });
    expect([...signals]).toEqual([9]);
  },
);

/** Not promises, but the page must say how things are: what is closed one day is to be taken off it. */
test("what docs/security.md says root can do all the same, it can", async () => {
  const image = join(machine.folder, "disk");
  writeFileSync(image, Buffer.alloc(1 << 20, "a block device of outside\n"));
  const path = system("losetup", "--find", "--show", image);
  try {
    const { rdev } = statSync(path);
    const words = [rdev >> 8, rdev & 0xff, "a block device of outside"];
    expect(await probe("read-device", ...words)).toBe("done");
  } finally {
    system("losetup", "--detach", path);
  }
  expect(await probe("all-devices")).toBe("done");
  expect(await probe("remount", "/proc/sys/kernel/core_pattern")).toBe("done");
  expect(await probe("fresh-proc", "/proc/sys/kernel/core_pattern")).toBe("done");
  console.log(
    `a socket to the host: ${String(await probe("host-socket"))}, ` +
      `a program for the kernel: ${String(await probe("kernel-program"))}`,
  );
});

function system(...command: readonly string[]): string {
  const result = Bun.spawnSync([...command], { env: { PATH: process.env["PATH"] ?? "" } });
  if (!result.success) throw new Error(`${command.join(" ")}: ${result.stderr.toString()}`);
  return result.stdout.toString().trim();
}
