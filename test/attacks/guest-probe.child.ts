import { ptr } from "bun:ffi";
import {
  appendFileSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { connectUnix } from "../../src/system/tcp-stream.ts";
import { check, cString, cStruct, openLibc, SystemError } from "../../src/system/libc.ts";
import { mount, mountFlags } from "../../src/system/mount.ts";

/**
 * What root in the guest tries. Bundled into one file and run inside by Bun; prints as JSON what came
 * of it: `done`, or the name of the error.
 *
 *   probe NAME [WORD…]
 */
const probes: Record<string, (words: readonly string[]) => unknown> = {
  /** The file system behind the root, by a number instead of a path (CVE-2014-3519 and its like). */
  "open-by-handle": () => openByHandle("/etc"),
  "look-into": ([pid]) => openSync(`/proc/${pid}/mem`, "r"),
  "read-memory": ([pid]) => readMemory(Number(pid)),
  signal: ([pid]) => process.kill(Number(pid), 0),
  connect: async ([path = ""]) => {
    await connectUnix(path, 1000);
  },
  write: ([path = ""]) => writeFileSync(path, readFileSync(path)),
  /** Appends nothing: what cannot even be opened for that is closed. */
  append: ([path = ""]) => appendFileSync(path, ""),
  "load-module": () => call("init_module", [callNumbers.initModule, 0n, 0n, 0n]),
  "reach-ports": () => call("iopl", [callNumbers.iopl, 3n, 0n, 0n]),
  "read-kernel": () => openSync("/proc/kcore", "r"),
  "climb-out": () => climbOut(),
  "fresh-proc": ([path = ""]) => {
    mkdirSync("/tmp/proc", { recursive: true });
    mount({ source: "proc", target: "/tmp/proc", type: "proc", flags: 0 });
    writeFileSync(`/tmp${path}`, readFileSync(`/tmp${path}`));
  },
  remount: ([path = ""]) => {
    const flags = mountFlags.bind | mountFlags.remount;
    mount({ source: "none", target: path, type: "none", flags });
    writeFileSync(path, readFileSync(path));
  },
  "read-device": ([major, minor, text = ""]) => readDevice(Number(major), Number(minor), text),
  "all-devices": () => {
    mkdirSync("/tmp/devices", { recursive: true });
    mount({ source: "dev", target: "/tmp/devices", type: "devtmpfs", flags: 0 });
    if (!existsSync("/tmp/devices/null")) throw new Error("empty");
  },
  /** Whether a socket to the host can be made; nothing is sent. */
  "host-socket": () => call("socket", [callNumbers.socket, 40n, 1n, 0n]),
  "kernel-program": () => loadKernelProgram(),
  "stop-newcomer": ([ms, keepersName = ""]) => stopNewcomer(Number(ms), keepersName),
  watch: ([ms, msMax, keepersName = ""]) => watchNewcomers(Number(ms), Number(msMax), keepersName),
};

function openByHandle(path: string): void {
  const handle = cStruct(8 + 128);
  new DataView(handle.buffer).setUint32(0, 128, true);
  const mountId = new Int32Array(new ArrayBuffer(8));
  const name = cString(path);
  check("name_to_handle_at", () =>
    libc.name_to_handle_at(-100, ptr(name), ptr(handle), ptr(mountId), 0),
  );
  const folder = openSync("/", "r");
  check("open_by_handle_at", () => libc.open_by_handle_at(folder, ptr(handle), 0));
}

function readMemory(pid: number): void {
  const target = cStruct(8);
  const parts = new BigUint64Array(new ArrayBuffer(32));
  parts.set([BigInt(ptr(target)), 8n, 0x40_0000n, 8n]);
  const [local, remote] = [ptr(parts), ptr(parts, 16)];
  check("process_vm_readv", () => libc.process_vm_readv(pid, local, 1n, remote, 1n, 0n));
}

function climbOut(): void {
  const root = statSync("/").ino;
  for (let level = 0; level < 64; level += 1) process.chdir("..");
  const here = statSync(".").ino;
  if (here !== root || !existsSync("./bin/busybox")) return;
  throw Object.assign(new Error("the root is the end"), { code: "at-root" });
}

function readDevice(major: number, minor: number, text: string): void {
  const path = cString("/tmp/device");
  const blockDevice = 0o060600;
  check("mknod", () => libc.mknod(ptr(path), blockDevice, BigInt((major << 8) | minor)));
  // Where devices count: /tmp has `nodev`, which root may take off.
  mount({ source: "none", target: "/tmp", type: "none", flags: mountFlags.remount });
  const bytes = new Uint8Array(4096);
  readSync(openSync("/tmp/device", "r"), bytes);
  if (!Buffer.from(bytes).includes(text)) throw new Error("another device");
}

/** The smallest there is: return 0. */
function loadKernelProgram(): number {
  const instructions = new Uint8Array(new ArrayBuffer(16));
  instructions.set([0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95]);
  const license = cString("GPL");
  const attributes = new DataView(new ArrayBuffer(128));
  const kprobe = 2;
  attributes.setUint32(0, kprobe, true);
  attributes.setUint32(4, 2, true);
  attributes.setBigUint64(8, BigInt(ptr(instructions)), true);
  attributes.setBigUint64(16, BigInt(ptr(license)), true);
  const load = 5n;
  const pointer = BigInt(ptr(attributes.buffer));
  return call("bpf", [callNumbers.bpf, load, pointer, 128n]);
}

/** Stops the first that it sees between its start and its program. */
function stopNewcomer(ms: number, keepersName: string): void {
  const endMs = performance.now() + ms;
  while (performance.now() < endMs) {
    for (const pid of readdirSync("/proc").filter((entry) => /^\d+$/.test(entry))) {
      if (nameOf(pid) !== keepersName || !send(pid, "SIGSTOP")) continue;
      let stat = statOf(pid);
      while (/\) [RSD] /.test(stat)) stat = statOf(pid);
      if (stat.includes(`(${keepersName}) T `)) return;
      // Too late: its program has begun.
      send(pid, "SIGCONT");
    }
  }
  throw new Error("nobody came");
}

/**
 * Looks at processes that bear the keeper's name: for a moment after their start, they share its memory.
 * Goes on for longer where it has met none.
 */
function watchNewcomers(ms: number, msMax: number, keepersName: string): Sightings {
  const seen: Sightings = { early: 0, refused: 0, opened: 0 };
  const startedMs = performance.now();
  const passedMs = (): number => performance.now() - startedMs;
  while (passedMs() < ms || (seen.refused === 0 && passedMs() < msMax)) {
    for (const pid of readdirSync("/proc").filter((entry) => /^\d+$/.test(entry))) {
      if (nameOf(pid) !== keepersName) continue;
      seen.early += 1;
      try {
        const fd = openSync(`/proc/${pid}/mem`, "r");
        // Its own program may have begun meanwhile.
        if (nameOf(pid) === keepersName) seen.opened += 1;
        closeSync(fd);
      } catch (error) {
        if (error instanceof Error && "code" in error && error.code === "EACCES") seen.refused += 1;
      }
    }
  }
  return seen;
}

/** False when it has gone. */
function send(pid: string, signal: "SIGSTOP" | "SIGCONT"): boolean {
  try {
    return process.kill(Number(pid), signal);
  } catch {
    return false;
  }
}

interface Sightings {
  early: number;
  refused: number;
  opened: number;
}

function nameOf(pid: string): string {
  return /\((.*)\)/.exec(statOf(pid))?.[1] ?? "";
}

function statOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/stat`, "utf8");
  } catch {
    return "";
  }
}

type CallWords = readonly [number: bigint, first: bigint, second: bigint, third: bigint];

function call(name: string, words: CallWords): number {
  return check(name, () => libc.syscall(...words));
}

const callNumbers =
  process.arch === "arm64"
    ? { initModule: 105n, iopl: 105n, socket: 198n, bpf: 280n }
    : { initModule: 175n, iopl: 172n, socket: 41n, bpf: 321n };

const libc = openLibc({
  name_to_handle_at: { args: ["i32", "ptr", "ptr", "ptr", "i32"], returns: "i32" },
  open_by_handle_at: { args: ["i32", "ptr", "i32"], returns: "i32" },
  process_vm_readv: { args: ["i32", "ptr", "u64", "ptr", "u64", "u64"], returns: "i64" },
  mknod: { args: ["ptr", "u32", "u64"], returns: "i32" },
  syscall: { args: ["i64", "i64", "i64", "i64"], returns: "i64" },
});

const [name = "", ...rest] = process.argv.slice(2);
console.log(JSON.stringify(await attempt(probes[name])));
process.exit(0);

async function attempt(probe: ((words: readonly string[]) => unknown) | undefined) {
  if (probe === undefined) throw new TypeError(`There is no probe ${name}`);
  try {
    const result = await probe(rest);
    return typeof result === "object" && result !== null ? result : "done";
  } catch (error) {
    if (error instanceof SystemError || (error instanceof Error && "code" in error))
      return error.code;
    throw error;
  }
}
