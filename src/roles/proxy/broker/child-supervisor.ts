import type { Log, LogFields } from "../../../system/log.ts";
import { within } from "../../../system/within.ts";
import { RestartPace } from "./restart-pace.ts";

export interface SupervisedChild {
  readonly ended: Promise<void>;
  readonly end: LogFields;
  readonly hasListened: boolean;
  stop(): Promise<void>;
  kill(): void;
}

interface ChildSupervisorOptions<Child> {
  readonly name: "relay" | "web";
  readonly launch: () => Child;
  readonly onEnd: () => void;
  /** After so many that never listened, `givenUp` resolves. Without it: never. */
  readonly firstTriesMax?: number;
  readonly log: Log;
  readonly monotonicMs: () => number;
}

/** Keeps one process running, one after the other. */
export class ChildSupervisor<Child extends SupervisedChild> {
  /** With how the last one ended. */
  readonly givenUp: Promise<LogFields>;
  readonly #options: ChildSupervisorOptions<Child>;
  readonly #pace = new RestartPace();
  readonly #giveUp: (end: LogFields) => void;
  #current: Child | undefined;
  #restarts = 0;
  #hasListened = false;
  #wanted = true;
  #stopPause = Promise.withResolvers<void>();
  #running: Promise<void> = Promise.resolve();

  constructor(options: ChildSupervisorOptions<Child>) {
    this.#options = options;
    const { promise, resolve } = Promise.withResolvers<LogFields>();
    this.givenUp = promise;
    this.#giveUp = resolve;
  }

  start(): void {
    this.#running = this.#keepRunning();
  }

  get current(): Child | undefined {
    return this.#current;
  }

  get isUp(): boolean {
    return this.#current?.hasListened === true;
  }

  get restarts(): number {
    return this.#restarts;
  }

  async stop(): Promise<void> {
    this.#wanted = false;
    this.#stopPause.resolve();
    await this.#current?.stop();
    await this.#running;
  }

  async kill(): Promise<void> {
    this.#wanted = false;
    this.#stopPause.resolve();
    this.#current?.kill();
    await this.#running;
  }

  async #keepRunning(): Promise<void> {
    const { monotonicMs, log, name } = this.#options;
    while (this.#wanted) {
      const startedMs = monotonicMs();
      const end = await this.#runOne();
      if (!this.#wanted) return;
      const livedMs = monotonicMs() - startedMs;
      log("error", `${name}-ended`, { ...end, lived_ms: Math.round(livedMs) });
      if (this.#isHopeless()) {
        this.#giveUp(end);
        return;
      }
      await within(this.#stopPause.promise, this.#pace.nextPause(livedMs, monotonicMs()));
      this.#restarts += 1;
    }
  }

  async #runOne(): Promise<LogFields> {
    let child: Child;
    try {
      child = this.#options.launch();
    } catch (error) {
      return { because: error instanceof Error ? error.message : String(error) };
    }
    this.#current = child;
    await child.ended;
    this.#current = undefined;
    this.#hasListened ||= child.hasListened;
    this.#options.onEnd();
    return child.end;
  }

  #isHopeless(): boolean {
    const { firstTriesMax } = this.#options;
    return !this.#hasListened && firstTriesMax !== undefined && this.#restarts + 1 >= firstTriesMax;
  }
}
