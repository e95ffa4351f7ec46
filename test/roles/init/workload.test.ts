import { expect, setDefaultTimeout, test } from "bun:test";
import {
  existsSync,
  chmodSync,
  chownSync,
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { initLimits } from "../../../src/roles/init/limits.ts";
import { leadOutside } from "../../../src/roles/init/workload-root.ts";
import { selfCommand } from "../../../src/system/self.ts";
import { makeBusyboxRootfs } from "../../support/busybox-rootfs.ts";
import { eventually } from "./ask.ts";
import { TestMachine } from "./machine.ts";

setDefaultTimeout(120_000);

test("the image's own init runs as PID 1, with a clean environment and three descriptors", async () => {
  await using machine = await TestMachine.boot({
    rootfs: (root) => makeBusyboxRootfs(root),
    env: { ACCESS_TOKEN: "canary-token", BUN_X: "y" },
  });
  expect(await machine.status()).toMatchObject({ vm_state: "ready", runtime: "system-init" });
  const { stdout } = await machine.shell(
    "cat /proc/1/comm; tr '\\0' '\\n' </proc/1/environ; ls /proc/1/fd | tr '\\n' ' '",
  );
  expect(stdout).toBe(
    "init\nPATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nHOME=/root\nTERM=linux\n" +
      "container=fly-vault\n0 1 2 ",
  );
});

test("PID 1 starts with no signal ignored or blocked", async () => {
  const script =
    "#!/bin/sh\ngrep -E 'Sig(Blk|Ign)' /proc/self/status >/run/signals\nexec sleep 1000\n";
  await using machine = await TestMachine.boot({
    rootfs: (root) => makeBusyboxRootfs(root, { init: { script } }),
    env: { VAULT_STOP_GRACE: "100ms" },
  });
  const { stdout } = await machine.shell(
    "until [ -s /run/signals ]; do sleep 0.02; done; cat /run/signals",
  );
  expect(stdout).toBe("SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
});

test("an image without an init gets one: it reaps orphans and stops at once", async () => {
  await using machine = await TestMachine.boot({
    rootfs: (root) => makeBusyboxRootfs(root, { init: "none" }),
  });
  expect((await machine.status()).runtime).toBe("fallback-init");
  await machine.shell("for i in 1 2 3 4 5 6 7 8 9; do (sleep 0.05 &) ; done; sleep 0.3");
  await untilNoZombies(machine);
  expect(await machine.stop()).toBe(0);
  expect(machine.log).not.toContain("workload killed");
});

test("an init that cannot be executed gives way to the fallback", async () => {
  await using machine = await TestMachine.boot({
    rootfs: (root) => makeBusyboxRootfs(root, { init: { script: "#!/no/such/interpreter\n" } }),
  });
  expect((await machine.status()).runtime).toBe("fallback-init");
});

test("an init that ends is started again after a pause; sessions wait for it and work", async () => {
  const again = "[ -e /root/was-here ] && exec sleep 1000";
  const script = `#!/bin/sh\n${again}\ntouch /root/was-here; sleep 0.3\n`;
  await using machine = await TestMachine.boot({
    rootfs: (root) => makeBusyboxRootfs(root, { init: { script } }),
    env: { VAULT_STOP_GRACE: "100ms" },
  });
  const starts = (): number => machine.log.match(/"event":"workload started"/g)?.length ?? 0;
  while (starts() < 2) await Bun.sleep(10);
  expect((await machine.shell("echo up")).stdout).toBe("up\n");
});

test("inside are the file systems a program expects, and nothing of outside", async () => {
  await using machine = await TestMachine.boot();
  const { stdout } = await machine.shell("cut -d' ' -f5 /proc/self/mountinfo | sort -u");
  expect(stdout.trim().split("\n")).toEqual(
    [
      "/",
      "/dev",
      "/dev/mqueue",
      "/dev/pts",
      "/dev/shm",
      "/etc/hostname",
      "/etc/hosts",
      "/etc/resolv.conf",
      "/home",
      "/proc",
      ...leadOutside.filter((path) => existsSync(path)),
      "/root",
      "/run",
      "/sys",
      "/tmp",
    ].toSorted(),
  );
  const probes = await machine.shell(
    `hostname; ls -d /.fly ${machine.folder} 2>&1 | grep -c 'No such'; stat -c %a /tmp /dev/shm; ` +
      "echo x >/tmp/x && echo x >/dev/shm/x && echo x >/run/x && echo written; " +
      "echo >/sys/x 2>&1 || echo sys-closed; head -c 3 /dev/zero | od -An -tx1; ls /proc | grep -c '^[0-9]'",
  );
  expect(probes.stdout).toMatch(/^test-app\n2\n1777\n1777\nwritten\n/);
  expect(probes.stdout).toContain("sys-closed\n 00 00 00\n");
  // Its own processes only.
  expect(Number(probes.stdout.trim().split("\n").at(-1))).toBeLessThan(8);
});

test("names resolve: resolv.conf is the machine's, hosts knows localhost and the machine", async () => {
  await using machine = await TestMachine.boot({
    rootfs: (root) => {
      makeBusyboxRootfs(root);
      // As systemd-resolved leaves it in an image: leads nowhere until that runs.
      symlinkSync("../run/systemd/resolve/stub-resolv.conf", join(root, "etc/resolv.conf"));
      writeFileSync(join(root, "etc/hosts"), "127.0.0.1 localhost from-the-image\n");
    },
  });
  const { stdout } = await machine.shell("cat /etc/resolv.conf; echo ---; cat /etc/hosts");
  const [resolv = "", hosts] = stdout.split("---\n");
  expect(resolv).toBe(readFileSync("/etc/resolv.conf", "utf8"));
  expect(hosts).toBe("127.0.0.1 localhost from-the-image\n127.0.1.1 test-app\n");
});

test("an image full of links that lead out changes nothing outside", async () => {
  await using machine = new TestMachine({
    rootfs: (root) => {
      makeBusyboxRootfs(root);
      const outside = join(root, "../../outside");
      mkdirSync(outside);
      for (const name of ["etc", "root", "home"]) rmSync(join(root, name), { recursive: true });
      for (const name of ["etc", "root", "home", "dev", "proc", "run", "tmp"])
        symlinkSync(outside, join(root, name));
    },
  });
  await machine.start();
  expect(readdirSync(join(machine.folder, "outside"))).toEqual([]);
  expect(readFileSync("/proc/self/mountinfo", "utf8")).not.toContain(machine.folder);
});

test("/root and /home are the volume's, and outlast the root filesystem", async () => {
  await using machine = await TestMachine.boot();
  await machine.shell(
    "echo kept >/root/file; mkdir /home/dev; echo kept >/home/dev/file; echo lost >/etc/file",
  );
  await machine.stop();
  rmSync(join(machine.dataDir, "rootfs"), { recursive: true });
  makeBusyboxRootfs(join(machine.dataDir, "rootfs"), { init: "none" });
  await machine.start();
  const { stdout } = await machine.shell("cat /root/file /home/dev/file; ls /etc/file 2>&1");
  expect(stdout).toBe("kept\nkept\nls: /etc/file: No such file or directory\n");
});

test("without a root filesystem the machine is cold, and says what to do", async () => {
  await using machine = await TestMachine.boot({ rootfs: null });
  expect(await machine.status()).toMatchObject({ vm_state: "cold", runtime: "not-started" });
  expect(machine.run(["true"])).rejects.toMatchObject({
    code: "not-ready",
    hint: "Provision a root filesystem",
  });
});

test("busybox init does what its inittab wants done at the end", async () => {
  await using machine = await TestMachine.boot({
    rootfs: (root) => {
      makeBusyboxRootfs(root);
      const lines = ["::respawn:/bin/sleep 1000", "::shutdown:/bin/touch /root/was-shut-down"];
      writeFileSync(join(root, "etc/inittab"), `${lines.join("\n")}\n`);
    },
    env: { VAULT_STOP_GRACE: "20s" },
  });
  while (!(await machine.shell("ps")).stdout.includes("sleep 1000")) await Bun.sleep(20);
  expect(await machine.stop()).toBe(0);
  expect(readdirSync(join(machine.dataDir, "persist/root"))).toContain("was-shut-down");
  expect(machine.log).not.toContain("workload killed");
});

test("PID 1 and 50 sessions that ignore the request to stop are killed after the grace", async () => {
  await using machine = await TestMachine.boot({
    rootfs: (root) =>
      makeBusyboxRootfs(root, {
        init: { script: "#!/bin/sh\ntrap '' TERM\nwhile :; do sleep 1; done\n" },
      }),
    env: { VAULT_STOP_GRACE: "300ms" },
  });
  const deaf = "trap '' TERM HUP INT; echo deaf; while :; do sleep 1; done";
  for (let i = 0; i < 50; i++) {
    const session = await machine.open({ tty: i % 2 === 0, argv: ["/bin/sh", "-c", deaf] });
    session.over().catch(() => undefined);
    await session.until("deaf");
  }
  const startMs = performance.now();
  expect(await machine.stop()).toBe(0);
  const tookMs = performance.now() - startMs;
  expect(tookMs).toBeGreaterThan(290);
});

test("nothing is left after a stop, nor after a kill: no process, no mount", async () => {
  const before = mounts();
  for (const end of ["stop", "kill"] as const) {
    await using machine = await TestMachine.boot();
    const session = await machine.open({ argv: ["sleep", "1000"] });
    const pids = machine.descendants();
    expect(pids.length).toBeGreaterThan(2);
    session.drop();
    await machine[end]();
    const deadlineMs = performance.now() + 30_000;
    while (pids.some(isAlive) && performance.now() < deadlineMs) await Bun.sleep(10);
    expect(pids.filter(isAlive)).toEqual([]);
    expect(newMounts(before, machine.folder)).toEqual([]);
  }
});

/** Of a machine in this folder, another test's not. */
function newMounts(before: readonly string[], folder: string): string[] {
  const others = [tmpdir(), "/run/netns"];
  const isOthers = (point: string) =>
    others.some((path) => point.startsWith(path)) && !point.startsWith(folder);
  return mounts().filter(
    (mount) => !before.includes(mount) && !isOthers(mount.split(" ")[4] ?? ""),
  );
}

function mounts(): string[] {
  return readFileSync("/proc/self/mountinfo", "utf8").split("\n");
}

test("the control groups it is in are the topmost it sees, for PID 1 and for sessions", async () => {
  await using machine = await TestMachine.boot();
  const { stdout } = await machine.shell("cat /proc/1/cgroup /proc/self/cgroup | cut -d: -f3");
  expect(new Set(stdout.trim().split("\n"))).toEqual(new Set(["/"]));
  const kinds = ["mnt", "pid", "ipc", "uts", "cgroup"].map((kind) => `/proc/1/ns/${kind}`);
  const theirs = await machine.run(["readlink", ...kinds]);
  const ours = await machine.run(["readlink", ...kinds.map((path) => path.replace("1", "self"))]);
  expect(ours.stdout).toBe(theirs.stdout);
  for (const kind of ["mnt", "pid", "ipc", "uts", "cgroup"])
    expect(theirs.stdout).not.toContain(readlinkSync(`/proc/self/ns/${kind}`));
});

test("a second init on a volume refuses, says so, and disturbs nobody", async () => {
  await using machine = await TestMachine.boot();
  const second = Bun.spawn(selfCommand("init"), {
    env: {
      PATH: process.env["PATH"] ?? "",
      VAULT_LISTEN: "127.0.0.1:0",
      VAULT_DATA_DIR: machine.dataDir,
      VAULT_RUN_DIR: machine.runDir,
    },
    stdio: ["ignore", "ignore", "pipe"],
  });
  const words = await new Response(second.stderr).text();
  expect(await second.exited).toBe(1);
  expect(words).toContain(`error: Another init works on ${machine.dataDir}`);
  expect(words).not.toContain("bug");
  expect((await machine.shell("echo fine")).stdout).toBe("fine\n");
});

test("a PID 1 that outlives a killed keeper ends before the next one starts another", async () => {
  const script = "#!/bin/sh\nwhile :; do sleep 1; done\n";
  await using machine = await TestMachine.boot({
    rootfs: (root) => {
      makeBusyboxRootfs(root, { init: { script } });
      // Executing a file of another group makes the kernel forget whose end is to be its own.
      const shell = join(root, "set-group-id/sh");
      mkdirSync(join(root, "set-group-id"));
      copyFileSync(join(root, "bin/busybox"), shell);
      chownSync(shell, 0, 10);
      chmodSync(shell, 0o2755);
      writeFileSync(join(root, "sbin/init"), script.replace("/bin/sh", "/set-group-id/sh"));
    },
    env: { VAULT_STOP_GRACE: "100ms" },
  });
  await Bun.sleep(100);
  const first = await machine.descendant("set-group-id");
  await machine.kill();
  await Bun.sleep(100);
  expect(isAlive(first)).toBe(true);
  await machine.start();
  expect(isAlive(first)).toBe(false);
  expect(machine.log).toContain("leftover-killed");
  expect((await machine.shell("echo fine")).stdout).toBe("fine\n");
});

test("two machines side by side do not see each other", async () => {
  await using one = await TestMachine.boot();
  await using two = await TestMachine.boot({ env: { FLY_APP_NAME: "other-app" } });
  const [a, b] = await Promise.all(
    [one, two].map((machine) => machine.shell("hostname; echo $$ >/run/mine; ps | grep -c init")),
  );
  expect(a?.stdout).toStartWith("test-app\n");
  expect(b?.stdout).toStartWith("other-app\n");
});

test("a console that floods costs the log a few lines, and says how many are left out", async () => {
  const script = "#!/bin/sh\nseq 1 20000\nsleep 1.2\necho last\nexec sleep 1000\n";
  await using machine = await TestMachine.boot({
    rootfs: (root) => makeBusyboxRootfs(root, { init: { script } }),
    env: { VAULT_STOP_GRACE: "100ms" },
  });
  await machine.untilLogged('"line":"last"');
  const lines = machine.log.match(/"event":"console"/g)?.length ?? 0;
  expect(lines).toBeLessThanOrEqual(4 * initLimits.consoleLinesPerSecond);
  // Of a slow flood they are told in parts.
  const dropped = [...machine.log.matchAll(/"dropped":(\d+)/g)].map(([, count]) => Number(count));
  expect(dropped.reduce((sum, count) => sum + count, 0)).toBeGreaterThan(10_000);
});

test("3 000 orphans leave no zombie", async () => {
  await using machine = await TestMachine.boot();
  const { exit } = await machine.shell(
    "i=0; while [ $i -lt 300 ]; do (true &) ; (true &) ; (true &) ; (true &) ; (true &) ; (true &) ; (true &) ; (true &) ; (true &) ; (true &) ; i=$((i+1)); done",
  );
  expect(exit).toEqual({ code: 0 });
  await untilNoZombies(machine);
});

async function untilNoZombies(machine: TestMachine): Promise<void> {
  const count = "cat /proc/[0-9]*/stat 2>/dev/null | grep -c ' Z '; true";
  await eventually(
    async () => (await machine.shell(count)).stdout,
    (seen) => seen === "0\n",
  );
}

/** A zombie counts as dead: whoever adopts what a killed init leaves may take its time to wait for it. */
function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}
