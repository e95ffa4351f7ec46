import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, resolve } from "node:path";
import {
  attachMount,
  bindMount,
  cloneMount,
  type Device,
  makeCharacterDevice,
  makeMountsPrivate,
  mount,
  mountFlags,
  pivotToCurrentFolder,
} from "../../system/mount.ts";
import type { WorkloadPlan } from "./workload-plan.ts";

/**
 * Makes the rootfs the root and fills it with what a Linux program expects. Runs in fresh mount, PID,
 * IPC and UTS namespaces. All targets are resolved after the root changed: a link in the image leads
 * to somewhere in the image, never outside. What comes from outside is opened before.
 */
export function assembleRoot(plan: WorkloadPlan): void {
  makeMountsPrivate();
  const persist = plan.persist.map(({ source, target }) => ({ fd: cloneMount(source), target }));
  const network = { resolv: readOuter("/etc/resolv.conf"), hosts: readOuter("/etc/hosts") };

  bindMount(plan.rootfs, plan.rootfs);
  process.chdir(plan.rootfs);
  pivotToCurrentFolder();

  mountKernelFolders();
  mountDevices();
  mountTemporaryFolders();
  for (const { fd, target } of persist) {
    makeFolder(target);
    attachMount(fd, target);
  }
  mkdirSync("/run/fly-vault", { mode: 0o755 });
  provideFile("/etc/resolv.conf", network.resolv);
  provideFile("/etc/hosts", hostsOf(readOuter("/etc/hosts"), network.hosts, plan.hostname));
  // What boots sets the name from here, over the one that is set already.
  provideFile("/etc/hostname", `${plan.hostname}\n`);
  leaveNetworkUp();
}

/**
 * The last step of Debian's scripts below sysvinit takes all interfaces down, and they are not the
 * workload's alone. Written into the image: what covers a file is unmounted by then.
 */
function leaveNetworkUp(): void {
  const [script, defaults] = ["/etc/init.d/halt", "/etc/default/halt"];
  if (!existsSync(script) || /^NETDOWN=no$/m.test(readOuter(defaults))) return;
  makeFolder(dirname(defaults));
  appendFileSync(defaults, "\nNETDOWN=no\n");
}

function mountKernelFolders(): void {
  const { noSetuid, noDevices, noExec, readOnly } = mountFlags;
  const closed = noSetuid | noDevices | noExec;
  mountAt({ source: "proc", target: "/proc", type: "proc", flags: closed });
  mountAt({ source: "sysfs", target: "/sys", type: "sysfs", flags: closed | readOnly });
  for (const path of leadOutside) if (existsSync(path)) makeReadOnly(path, closed);
}

/** What root's number alone suffices for, without any capability; with all of them it can undo this. */
function makeReadOnly(path: string, flags: number): void {
  const { bind, remount, readOnly } = mountFlags;
  bindMount(path, path);
  const again = bind | remount | readOnly | flags;
  mount({ source: "none", target: path, type: "none", flags: again });
}

function mountDevices(): void {
  const { noSetuid, noExec, noDevices, strictAccessTime } = mountFlags;
  const flags = noSetuid | strictAccessTime;
  mountAt({
    source: "tmpfs",
    target: "/dev",
    type: "tmpfs",
    flags,
    data: "mode=755,size=64k,nr_inodes=1k",
  });
  for (const [name, device] of Object.entries(harmlessDevices)) {
    makeCharacterDevice(`/dev/${name}`, 0o666, device);
    // mknod is subject to the umask.
    chmodSync(`/dev/${name}`, 0o666);
  }
  for (const [name, target] of Object.entries(deviceLinks)) symlinkSync(target, `/dev/${name}`);
  const pts = "newinstance,ptmxmode=0666,mode=620,gid=5";
  const quiet = noSetuid | noExec;
  mountAt({ source: "devpts", target: "/dev/pts", type: "devpts", flags: quiet, data: pts });
  const shared = quiet | noDevices;
  mountAt({ source: "shm", target: "/dev/shm", type: "tmpfs", flags: shared, data: "mode=1777" });
  mountAt({ source: "mqueue", target: "/dev/mqueue", type: "mqueue", flags: shared });
}

function mountTemporaryFolders(): void {
  const flags = mountFlags.noSetuid | mountFlags.noDevices;
  mountAt({ source: "tmpfs", target: "/run", type: "tmpfs", flags, data: "mode=755" });
  mountAt({ source: "tmpfs", target: "/tmp", type: "tmpfs", flags, data: "mode=1777" });
}

function mountAt(options: Parameters<typeof mount>[0]): void {
  makeFolder(options.target);
  mount(options);
}

function makeFolder(path: string): void {
  mkdirSync(path, { recursive: true, mode: 0o755 });
}

/** A link that leads nowhere (to /run/systemd/resolve, say) gets its target made; a file is covered, not changed. */
function provideFile(path: string, content: string): void {
  if (content === "") return;
  const source = `/run/fly-vault/${path.slice(path.lastIndexOf("/") + 1)}`;
  writeFileSync(source, content, { mode: 0o644 });
  if (!existsSync(path)) {
    makeFolder(dirname(path));
    makeFolder(dirname(linkTarget(path)));
    writeFileSync(path, "", { mode: 0o644 });
  }
  bindMount(source, realpathSync(path));
}

function linkTarget(path: string): string {
  try {
    return resolve(dirname(path), readlinkSync(path));
  } catch {
    return path;
  }
}

function hostsOf(own: string, outer: string, hostname: string): string {
  const base = own.trim() === "" ? outer : own;
  const lines =
    base.trim() === "" ? ["127.0.0.1 localhost", "::1 localhost"] : base.trim().split("\n");
  const known = lines.some((line) => line.split(/\s+/).slice(1).includes(hostname));
  if (!known) lines.push(`127.0.1.1 ${hostname}`);
  return `${lines.join("\n")}\n`;
}

function readOuter(path: string): string {
  try {
    return statSync(path).isFile() ? readFileSync(path, "utf8") : "";
  } catch {
    return "";
  }
}

/** The kernel runs what is named here outside, as root; the last one stops the machine. */
export const leadOutside: readonly string[] = [
  "/proc/sys/kernel/core_pattern",
  "/proc/sys/kernel/hotplug",
  "/proc/sys/kernel/modprobe",
  "/proc/sys/kernel/poweroff_cmd",
  "/proc/sys/kernel/usermodehelper",
  "/proc/sysrq-trigger",
];

const harmlessDevices: Readonly<Record<string, Device>> = {
  null: { major: 1, minor: 3 },
  zero: { major: 1, minor: 5 },
  full: { major: 1, minor: 7 },
  random: { major: 1, minor: 8 },
  urandom: { major: 1, minor: 9 },
  tty: { major: 5, minor: 0 },
};

const deviceLinks: Readonly<Record<string, string>> = {
  fd: "/proc/self/fd",
  stdin: "/proc/self/fd/0",
  stdout: "/proc/self/fd/1",
  stderr: "/proc/self/fd/2",
  ptmx: "pts/ptmx",
};
