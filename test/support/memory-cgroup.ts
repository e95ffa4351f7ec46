import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** A control group with little memory: who is put into it and wants more is killed by the kernel. */
export class MemoryCgroup implements Disposable {
  readonly #folder: string;

  constructor(bytesMax: number) {
    const { root, limit } = memoryController();
    this.#folder = join(root, `fv-test-${process.pid}-${crypto.randomUUID().slice(0, 8)}`);
    mkdirSync(this.#folder);
    writeFileSync(join(this.#folder, limit), String(bytesMax));
  }

  add(pid: number): void {
    writeFileSync(join(this.#folder, "cgroup.procs"), String(pid));
  }

  /** Once nobody is left in it. */
  [Symbol.dispose](): void {
    rmdirSync(this.#folder);
  }
}

function memoryController(): { root: string; limit: string } {
  const [old, unified] = ["/sys/fs/cgroup/memory", "/sys/fs/cgroup"];
  if (existsSync(join(old, "memory.limit_in_bytes")))
    return { root: old, limit: "memory.limit_in_bytes" };
  const control = join(unified, "cgroup.subtree_control");
  if (!existsSync(control)) throw new Error(`No memory controller at ${unified}`);
  if (!readFileSync(control, "utf8").includes("memory")) writeFileSync(control, "+memory");
  return { root: unified, limit: "memory.max" };
}
