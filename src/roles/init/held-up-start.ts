import { readFileSync } from "node:fs";
import type { Log } from "../../system/log.ts";
import { signalProcess } from "../../system/process.ts";
import { initLimits } from "./limits.ts";

/**
 * A session starts among the guest's processes, and the keeper stands still until its program runs:
 * whoever may signal it there can stop it, and all sessions with it. The link does not stand still,
 * so it looks, and ends what is still stopped at the next look. Nothing starts but for a client's
 * request: while the link rests it need not look.
 */
export class HeldUpStarts {
  readonly #keeperPid: number;
  readonly #log: Log;
  #suspects = new Set<number>();
  #clock: ReturnType<typeof setInterval> | undefined;

  constructor(keeperPid: number, log: Log) {
    this.#keeperPid = keeperPid;
    this.#log = log;
  }

  start(): void {
    this.#clock = setInterval(() => this.#look(), initLimits.heldUpLookMs);
  }

  stop(): void {
    clearInterval(this.#clock);
    this.#suspects.clear();
  }

  #look(): void {
    const stopped = stoppedStarts(this.#keeperPid);
    for (const pid of stopped) {
      if (!this.#suspects.has(pid)) continue;
      this.#log("warn", "held-up-start-ended", { pid });
      signalProcess(pid, 9);
    }
    this.#suspects = new Set(stopped);
  }
}

/** Only while the keeper waits: a stopped program of its name may be anybody's. */
function stoppedStarts(keeperPid: number): number[] {
  const keeper = statOf(keeperPid);
  if (keeper?.state !== "D") return [];
  return childrenOf(keeperPid).filter((pid) => {
    const child = statOf(pid);
    return child?.state === "T" && child.name === keeper.name;
  });
}

function childrenOf(pid: number): number[] {
  const text = contentOf(`/proc/${pid}/task/${pid}/children`);
  return text.split(" ").filter(Boolean).map(Number);
}

function statOf(pid: number): { readonly name: string; readonly state: string } | undefined {
  // The name may hold anything, brackets included.
  const match = /^\d+ \((.*)\) ([A-Z]) /s.exec(contentOf(`/proc/${pid}/stat`));
  if (match === null) return undefined;
  const [, name = "", state = ""] = match;
  return { name, state };
}

function contentOf(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
