import { rmSync } from "node:fs";
import { join } from "node:path";
import { Failure } from "../../cli/failure.ts";
import { identify, isAlive } from "./process-table.ts";
import { readIfThere, writePrivate } from "./state-store.ts";

/** One fly-local per state: two would both believe that the machines are theirs. Returns the way to let go. */
export function lockState(stateDir: string): () => void {
  const path = join(stateDir, "lock");
  const [pid, startTicks] = (readIfThere(path) ?? "").trim().split(" ");
  const holder = { pid: Number(pid), startTicks: startTicks ?? "" };
  if (holder.pid > 0 && isAlive(holder)) {
    throw new Failure("FV-SYS-001", `another fly-local (process ${holder.pid}) uses ${stateDir}`, {
      fix: "stop it first, or pass another --state-dir",
    });
  }
  writePrivate(path, `${process.pid} ${identify(process.pid)?.startTicks ?? ""}\n`);
  return () => rmSync(path, { force: true });
}
