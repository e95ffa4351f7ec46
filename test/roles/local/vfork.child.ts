import { dlopen, ptr } from "bun:ffi";

/** Starts a child that first opens a FIFO: until somebody opens its other end, the parent waits as for a disk. */
const libc = dlopen("libc.so.6", {
  posix_spawn: { args: ["ptr", "ptr", "ptr", "ptr", "ptr", "ptr"], returns: "i32" },
  posix_spawn_file_actions_init: { args: ["ptr"], returns: "i32" },
  posix_spawn_file_actions_addopen: { args: ["ptr", "i32", "ptr", "i32", "u32"], returns: "i32" },
});

const text = (word: string): Uint8Array => Buffer.from(`${word}\0`);
const [fifo = ""] = process.argv.slice(2);
const program = text("/bin/true");
const words = new BigUint64Array([BigInt(ptr(program)), 0n]);
const environment = new BigUint64Array([0n]);
const actions = new Uint8Array(256);
const pid = new Int32Array(1);
libc.symbols.posix_spawn_file_actions_init(ptr(actions));
libc.symbols.posix_spawn_file_actions_addopen(ptr(actions), 0, ptr(text(fifo)), 0, 0);
process.stdout.write("ready\n");
libc.symbols.posix_spawn(ptr(pid), ptr(program), ptr(actions), null, ptr(words), ptr(environment));
process.stdout.write("spawned\n");
