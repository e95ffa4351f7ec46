import { randomBytes } from "node:crypto";
import type { Log } from "../../system/log.ts";
import { ownProgram } from "../../system/self.ts";
import { within } from "../../system/within.ts";
import { initLimits } from "./limits.ts";
import type { LinkKeys, LinkPlan } from "./link-plan.ts";
import { LinkProcess } from "./link-process.ts";
import type { Secrets } from "./secrets.ts";

export interface LinkSupervisorOptions {
  readonly plan: LinkPlan;
  readonly secrets: Secrets;
  /** What `replace` starts: the file as it is by then. */
  readonly programOnDisk: readonly string[];
  readonly log: Log;
}

/**
 * Keeps a link running, one after the other. A link that dies takes no shell with it: the next one
 * serves its clients again. Links are of the keeper's own program, until `replace` brings in another.
 */
export class LinkSupervisor {
  readonly #options: LinkSupervisorOptions;
  readonly #keys: LinkKeys;
  #program = ownProgram;
  /** The one that serves, or is about to. */
  #current: LinkProcess | undefined;
  #isUp = false;
  /** Loaded, and waiting for the current one to go. */
  #successor: LinkProcess | undefined;
  /** Of another program, not known to load yet. */
  #candidate: LinkProcess | undefined;
  #replaceAgain = false;
  #pauseMs: number = initLimits.linkRestartPauseMs;
  #pause: PromiseWithResolvers<void> | undefined;
  #wanted = true;
  #running: Promise<void> = Promise.resolve();

  constructor(options: LinkSupervisorOptions) {
    this.#options = options;
    this.#keys = { ...options.secrets, connectionIds: randomBytes(32) };
  }

  start(): void {
    this.#running = this.#keepRunning();
  }

  /** Of the link that listens now. */
  get version(): string | undefined {
    return this.#isUp ? this.#current?.version : undefined;
  }

  /**
   * Goes over to the program that is on disk now. The link that serves is not touched before that one
   * has loaded; should it fail after all, the keeper's own program takes its place.
   */
  replace(): void {
    this.#replaceAgain = this.#candidate !== undefined;
    if (!this.#replaceAgain && this.#wanted) void this.#tryProgram(this.#options.programOnDisk);
  }

  async stop(): Promise<void> {
    this.#wanted = false;
    this.#pause?.resolve();
    this.#candidate?.kill();
    this.#successor?.kill();
    await this.#current?.stop("SIGTERM");
    await this.#running;
  }

  async #keepRunning(): Promise<void> {
    while (this.#wanted) {
      const livedMs = await this.#runOne();
      // Not wanted any more, or its place was asked for.
      if (!this.#wanted || this.#successor !== undefined) continue;
      if (livedMs >= initLimits.linkHealthyMs) this.#pauseMs = initLimits.linkRestartPauseMs;
      else if (this.#fallsBack()) continue;
      await this.#pauseBeforeRestart();
    }
  }

  /** From its start, or the end of the one before, to its own. How long it served. */
  async #runOne(): Promise<number> {
    const startedMs = performance.now();
    const successor = this.#successor;
    this.#successor = undefined;
    const link = successor ?? this.#launch(this.#program);
    if (link === undefined) return 0;
    this.#current = link;
    this.#isUp = await link.comesUp();
    if (this.#isUp && link === successor) {
      this.#pauseMs = initLimits.linkRestartPauseMs;
      this.#options.log("info", "link-replaced", { version: link.version });
    }
    await link.ended;
    this.#isUp = false;
    this.#current = undefined;
    const livedMs = Math.round(performance.now() - startedMs);
    if (this.#wanted && this.#successor === undefined)
      this.#options.log("error", "link-ended", { ...link.end, lived_ms: livedMs });
    return livedMs;
  }

  /** A program that was brought in and does not last is not tried twice. */
  #fallsBack(): boolean {
    if (this.#program === ownProgram) return false;
    this.#program = ownProgram;
    this.#options.log("error", "link-fell-back", { to: "the keeper's own program" });
    return true;
  }

  async #pauseBeforeRestart(): Promise<void> {
    this.#pause = Promise.withResolvers();
    await within(this.#pause.promise, this.#pauseMs);
    this.#pause = undefined;
    this.#pauseMs = Math.min(this.#pauseMs * 2, initLimits.linkRestartPauseMsMax);
  }

  async #tryProgram(program: readonly string[]): Promise<void> {
    const candidate = this.#launch(program);
    this.#candidate = candidate;
    const isReady = (await candidate?.becomesReady()) ?? false;
    this.#candidate = undefined;
    if (candidate !== undefined && isReady && this.#wanted) this.#handOver(candidate, program);
    else await this.#refuse(candidate);
    if (this.#replaceAgain) this.replace();
  }

  #handOver(next: LinkProcess, program: readonly string[]): void {
    this.#successor?.kill();
    this.#successor = next;
    this.#program = program;
    // Its clients are told, and come back to the next one at once.
    void this.#current?.stop("SIGHUP");
    this.#pause?.resolve();
  }

  async #refuse(candidate: LinkProcess | undefined): Promise<void> {
    if (candidate === undefined) return;
    candidate.kill();
    await candidate.ended;
    if (this.#wanted) this.#options.log("error", "link-not-replaced", candidate.end);
  }

  #launch(program: readonly string[]): LinkProcess | undefined {
    try {
      return LinkProcess.start(program, this.#options.plan, this.#keys);
    } catch (error) {
      const because = error instanceof Error ? error.message : String(error);
      this.#options.log("error", "link-not-started", { program: program[0], because });
      return undefined;
    }
  }
}
