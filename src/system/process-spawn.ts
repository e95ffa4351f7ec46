import { constants } from "node:os";
import { type Pointer, ptr } from "bun:ffi";
import { cString, cStruct, openLibc, SystemError } from "./libc.ts";
import { environmentLines } from "./process.ts";
import { StringArray } from "./process-memory.ts";

/**
 * Starts a program by posix_spawn, which Bun.spawn cannot do the way we need it: in the namespaces
 * the calling thread is in, as leader of a new session with a controlling terminal, and with the
 * error of a failed start as an error instead of an exit code. Whoever starts one waits for it with
 * `ChildReaper`: Bun does not know these children.
 */
export interface SpawnPlan {
  /** Absolute: there is no search here. */
  readonly path: string;
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** A terminal by its path inside, which becomes the controlling one, or descriptors that become 0, 1, 2 and on. */
  readonly stdio: { readonly terminal: string } | readonly number[];
}

/** What posix_spawn is called with. */
type SpawnPointers = Readonly<
  Record<"pid" | "path" | "actions" | "attributes" | "argv" | "env", Pointer>
>;

/** A plan made ready outside, so that inside there is one call left. */
export class PreparedSpawn {
  /** Good as long as this object is there. */
  readonly pointers: SpawnPointers;
  readonly #path: Uint8Array<ArrayBuffer>;
  readonly #argv: StringArray;
  readonly #env: StringArray;
  readonly #attributes = cStruct(structBytes);
  readonly #actions = cStruct(structBytes);
  readonly #pid = new Int32Array(new ArrayBuffer(8));
  readonly #terminal: Uint8Array<ArrayBuffer> | undefined;
  readonly #what: string;

  constructor(plan: SpawnPlan) {
    this.#what = plan.path;
    this.#path = cString(plan.path);
    this.#argv = new StringArray(plan.argv);
    this.#env = new StringArray(environmentLines(plan.env));
    this.#terminal = "terminal" in plan.stdio ? cString(plan.stdio.terminal) : undefined;
    this.#setAttributes();
    const count = "terminal" in plan.stdio ? this.#useTerminal() : this.#useDescriptors(plan.stdio);
    must("closefrom", libc().posix_spawn_file_actions_addclosefrom_np(ptr(this.#actions), count));
    this.pointers = {
      pid: ptr(this.#pid),
      path: ptr(this.#path),
      actions: ptr(this.#actions),
      attributes: ptr(this.#attributes),
      argv: this.#argv.pointer(),
      env: this.#env.pointer(),
    };
  }

  /** The process id as seen from outside. Throws `SystemError` with the errno of the program's start. */
  start(): number {
    const { pid, path, actions, attributes, argv, env } = this.pointers;
    return this.started(libc().posix_spawn(pid, path, actions, attributes, argv, env));
  }

  /** As `start`, after posix_spawn was called by somebody else with this result. */
  started(result: number): number {
    if (result !== 0) throw new SystemError("posix_spawn", result, this.#what);
    return this.#pid[0] ?? -1;
  }

  /** Frees what libc allocated. */
  release(): void {
    libc().posix_spawn_file_actions_destroy(ptr(this.#actions));
    libc().posix_spawnattr_destroy(ptr(this.#attributes));
  }

  #setAttributes(): void {
    const attributes = ptr(this.#attributes);
    must("init", libc().posix_spawnattr_init(attributes));
    must(
      "setflags",
      libc().posix_spawnattr_setflags(attributes, newSession | setMask | setDefault),
    );
    // What Bun ignores or blocks would be ignored or blocked in the program.
    const all = cStruct(signalSetBytes).fill(0xff);
    must("setsigdefault", libc().posix_spawnattr_setsigdefault(attributes, ptr(all)));
    const none = cStruct(signalSetBytes);
    must("setsigmask", libc().posix_spawnattr_setsigmask(attributes, ptr(none)));
    must("init", libc().posix_spawn_file_actions_init(ptr(this.#actions)));
  }

  /** The first terminal a session leader opens is its controlling one. */
  #useTerminal(): number {
    const actions = ptr(this.#actions);
    const path = ptr(this.#terminal ?? cString(""));
    must("addopen", libc().posix_spawn_file_actions_addopen(actions, 0, path, readWrite, 0));
    must("adddup2", libc().posix_spawn_file_actions_adddup2(actions, 0, 1));
    must("adddup2", libc().posix_spawn_file_actions_adddup2(actions, 0, 2));
    return 3;
  }

  /** In two steps, so that no descriptor is overwritten that is still to be moved. */
  #useDescriptors(descriptors: readonly number[]): number {
    const actions = ptr(this.#actions);
    const above = Math.max(descriptors.length, ...descriptors) + 1;
    for (const [index, fd] of descriptors.entries())
      must("adddup2", libc().posix_spawn_file_actions_adddup2(actions, fd, above + index));
    for (const index of descriptors.keys())
      must("adddup2", libc().posix_spawn_file_actions_adddup2(actions, above + index, index));
    return descriptors.length;
  }
}

function must(call: string, error: number): void {
  if (error !== 0) throw new SystemError(`posix_spawn ${call}`, error);
}

export const errno = constants.errno;

/** glibc's structures take 336 and 80 bytes. */
const structBytes = 512;
const signalSetBytes = 128;
const newSession = 0x80;
const setMask = 0x08;
const setDefault = 0x04;
const readWrite = 2;

let opened: ReturnType<typeof openSpawnCalls> | undefined;

function libc(): ReturnType<typeof openSpawnCalls> {
  opened ??= openSpawnCalls();
  return opened;
}

function openSpawnCalls() {
  return openLibc({
    posix_spawn: { args: ["ptr", "ptr", "ptr", "ptr", "ptr", "ptr"], returns: "i32" },
    posix_spawn_file_actions_init: { args: ["ptr"], returns: "i32" },
    posix_spawn_file_actions_destroy: { args: ["ptr"], returns: "i32" },
    posix_spawn_file_actions_addopen: {
      args: ["ptr", "i32", "ptr", "i32", "u32"],
      returns: "i32",
    },
    posix_spawn_file_actions_adddup2: { args: ["ptr", "i32", "i32"], returns: "i32" },
    posix_spawn_file_actions_addclosefrom_np: { args: ["ptr", "i32"], returns: "i32" },
    posix_spawnattr_init: { args: ["ptr"], returns: "i32" },
    posix_spawnattr_destroy: { args: ["ptr"], returns: "i32" },
    posix_spawnattr_setflags: { args: ["ptr", "i16"], returns: "i32" },
    posix_spawnattr_setsigdefault: { args: ["ptr", "ptr"], returns: "i32" },
    posix_spawnattr_setsigmask: { args: ["ptr", "ptr"], returns: "i32" },
  });
}
