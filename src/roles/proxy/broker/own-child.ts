import { childEnv } from "../../../system/child-env.ts";
import type { LogFields } from "../../../system/log.ts";
import { late, whenLate, within } from "../../../system/within.ts";
import { brokerLimits } from "./broker-limits.ts";

/** Secrets were taken out of ours, and other people's BUN_* has no business there. */
export function ownChildEnv(): Record<string, string> {
  // The collector lets garbage grow by this much memory rather than by that of the whole computer.
  const ramBytes = String(brokerLimits.childRamBytes);
  return childEnv({ PATH: process.env["PATH"] }, { BUN_JSC_forceRAMSize: ramBytes });
}

/** A process of this same program: started, watched, ended. Its log goes where ours goes. */
export class OwnChild {
  /** Resolves once it is gone and its last words were heard. Never rejects. */
  readonly ended: Promise<void>;
  readonly #process: Bun.Subprocess;
  #complaint: string | undefined;
  #hasListened = false;
  #cancelWatch: () => void;

  /**
   * `stdio`: descriptors of pipes, closed by whoever opened them. `follow` reads what it says and ends
   * when there is no more; when it throws, the child is killed. Throws where it cannot be started.
   */
  constructor(
    command: readonly string[],
    stdio: readonly (number | "ignore" | "inherit")[],
    follow: (child: OwnChild) => Promise<void>,
  ) {
    this.#process = Bun.spawn([...command], {
      // The role is in the words: a program file may have any name.
      argv0: "fly-vault",
      env: ownChildEnv(),
      cwd: "/",
      // Ctrl-C is for us; we tell them.
      detached: true,
      stdio: stdio as ["ignore", "inherit", "inherit"],
    });
    this.#cancelWatch = this.#watch(brokerLimits.childListenMs);
    this.ended = this.#untilEnded(follow);
  }

  /** How it ended, for the log. */
  get end(): LogFields {
    const { exitCode, signalCode } = this.#process;
    return {
      exit_code: exitCode ?? undefined,
      signal: signalCode ?? undefined,
      because: this.#complaint,
    };
  }

  /** Whether it ever did what it is for. */
  get hasListened(): boolean {
    return this.#hasListened;
  }

  listens(): void {
    this.#hasListened = true;
    this.reported();
  }

  /** It is alive. */
  reported(): void {
    if (!this.#hasListened) return;
    this.#cancelWatch();
    this.#cancelWatch = this.#watch(brokerLimits.childSilentMs);
  }

  /** What it says itself about why it will end. */
  complains(message: string): void {
    this.#complaint ??= message;
  }

  async stop(): Promise<void> {
    this.#process.kill("SIGTERM");
    if ((await within(this.ended, brokerLimits.childStopMs)) === late) this.kill();
    await this.ended;
  }

  kill(): void {
    this.#process.kill("SIGKILL");
  }

  #watch(silentMs: number): () => void {
    return whenLate(silentMs, () => {
      this.complains(`nothing heard of it for ${silentMs} ms`);
      this.kill();
    });
  }

  async #untilEnded(follow: (child: OwnChild) => Promise<void>): Promise<void> {
    const following = this.#follow(follow);
    await this.#process.exited;
    await within(following, lastWordsMs);
    this.#cancelWatch();
  }

  async #follow(follow: (child: OwnChild) => Promise<void>): Promise<void> {
    try {
      await follow(this);
    } catch (error) {
      this.complains(error instanceof Error ? error.message : String(error));
      this.kill();
    }
  }
}

const lastWordsMs = 500;
