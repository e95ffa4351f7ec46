import { closeSync, writeSync } from "node:fs";
import { childEnv } from "../../system/child-env.ts";
import type { Log } from "../../system/log.ts";
import { openPipe } from "../../system/process-pipe.ts";
import { selfCommand } from "../../system/self.ts";
import { initLimits } from "./limits.ts";
import { linkKeyFd, type LinkPlan } from "./link-plan.ts";

/** Keeps a link running. A link that dies takes no shell with it: the next one serves its clients again. */
export class LinkSupervisor {
  readonly #plan: LinkPlan;
  readonly #loginKey: Uint8Array | undefined;
  readonly #log: Log;
  #child: Bun.Subprocess | undefined;
  #pauseMs: number = initLimits.linkRestartPauseMs;
  #restart: ReturnType<typeof setTimeout> | undefined;
  #wanted = true;
  #startCount = 0;

  constructor(plan: LinkPlan, loginKey: Uint8Array | undefined, log: Log) {
    this.#plan = plan;
    this.#loginKey = loginKey;
    this.#log = log;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  get startCount(): number {
    return this.#startCount;
  }

  start(): void {
    this.#startCount += 1;
    const startedAtMs = performance.now();
    const child = spawnLink(this.#plan, this.#loginKey);
    this.#child = child;
    const watch = async (): Promise<void> => {
      await child.exited;
      this.#ended(child, performance.now() - startedAtMs);
    };
    watch().catch(() => undefined);
  }

  async stop(): Promise<void> {
    this.#wanted = false;
    clearTimeout(this.#restart);
    const child = this.#child;
    if (child === undefined) return;
    child.kill("SIGTERM");
    const timer = setTimeout(() => child.kill("SIGKILL"), initLimits.linkStopMs);
    await child.exited;
    clearTimeout(timer);
  }

  #ended(child: Bun.Subprocess, livedMs: number): void {
    this.#child = undefined;
    if (!this.#wanted) return;
    const exit = { exit_code: child.exitCode ?? undefined, signal: child.signalCode ?? undefined };
    this.#log("error", "link-ended", { ...exit, lived_ms: Math.round(livedMs) });
    if (livedMs >= initLimits.linkHealthyMs) this.#pauseMs = initLimits.linkRestartPauseMs;
    this.#restart = setTimeout(() => this.start(), this.#pauseMs);
    this.#pauseMs = Math.min(this.#pauseMs * 2, initLimits.linkRestartPauseMsMax);
  }
}

/** The key goes through a pipe: neither arguments nor environment of a process are private. */
function spawnLink(plan: LinkPlan, loginKey: Uint8Array | undefined): Bun.Subprocess {
  const key = openPipe();
  const stdio: (number | "ignore" | "inherit")[] = ["ignore", "inherit", "inherit"];
  stdio[linkKeyFd] = key.readFd;
  try {
    if (loginKey !== undefined) writeSync(key.writeFd, loginKey);
    return Bun.spawn(selfCommand("init", "link", JSON.stringify(plan)), {
      env: childEnv({ PATH: process.env["PATH"] }),
      cwd: "/",
      stdio: stdio as ["ignore", "inherit", "inherit", number],
    });
  } finally {
    closeSync(key.readFd);
    closeSync(key.writeFd);
  }
}
