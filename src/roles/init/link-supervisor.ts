import { randomBytes } from "node:crypto";
import { closeSync, writeSync } from "node:fs";
import { childEnv } from "../../system/child-env.ts";
import type { Log } from "../../system/log.ts";
import { openPipe } from "../../system/process-pipe.ts";
import { selfCommand } from "../../system/self.ts";
import { initLimits } from "./limits.ts";
import { encodeLinkKeys, linkKeyFd, type LinkKeys, type LinkPlan } from "./link-plan.ts";

/** Keeps a link running. A link that dies takes no shell with it: the next one serves its clients again. */
export class LinkSupervisor {
  readonly #plan: LinkPlan;
  readonly #keys: LinkKeys;
  readonly #log: Log;
  #child: Bun.Subprocess | undefined;
  #pauseMs: number = initLimits.linkRestartPauseMs;
  #restart: ReturnType<typeof setTimeout> | undefined;
  #wanted = true;
  #startCount = 0;

  constructor(plan: LinkPlan, loginKey: Uint8Array | undefined, log: Log) {
    this.#plan = plan;
    this.#keys = { login: loginKey, connectionIds: randomBytes(32) };
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
    const child = spawnLink(this.#plan, this.#keys);
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

function spawnLink(plan: LinkPlan, keys: LinkKeys): Bun.Subprocess {
  const key = openPipe();
  const stdio: (number | "ignore" | "inherit")[] = ["ignore", "inherit", "inherit"];
  stdio[linkKeyFd] = key.readFd;
  try {
    writeSync(key.writeFd, encodeLinkKeys(keys));
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
