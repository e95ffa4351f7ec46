import type { OutputName } from "../../protocol/session-frame.ts";
import type { SessionState } from "../../protocol/session-server.ts";
import type { DescriptorReader } from "../../system/process-pipe.ts";
import { late, within } from "../../system/within.ts";
import { initLimits } from "./limits.ts";
import type { SessionProcess } from "./session-process.ts";
import { Wake } from "./wake.ts";

/** Reads what a program writes into its session, no faster than the clients allow. */
export class SessionPump {
  readonly #process: SessionProcess;
  readonly #state: SessionState;
  readonly #onOutput: () => void;
  readonly #rooms = { stdout: new Wake(), stderr: new Wake() };
  readonly #drained: Promise<unknown>;
  #readSinceEnd = 0;
  #lastReadMs = 0;
  /** Outputs not read because a client has not acknowledged enough. */
  #heldBack = 0;
  #ended = false;
  #closed = false;

  constructor(process: SessionProcess, state: SessionState, onOutput: () => void) {
    this.#process = process;
    this.#state = state;
    this.#onOutput = onOutput;
    const { stdout, stderr } = process;
    const pumps = [this.#pump("stdout", stdout)];
    if (stderr !== undefined) pumps.push(this.#pump("stderr", stderr));
    this.#drained = Promise.all(pumps);
  }

  /** Acknowledged output or a client less: the program may be read from again. */
  roomChanged(): void {
    this.#rooms.stdout.notify();
    this.#rooms.stderr.notify();
  }

  /**
   * The program has ended; resolves when all it wrote is read. What it left in the background may hold
   * the pipes open for ever and trickle into them, so it is over with nothing left to read, with more
   * read than pipes can hold, or after so many looks: turns in which all that was there could be read,
   * which milliseconds of a busy machine are not. While a client holds an output back, its last bytes
   * may wait in Bun's stream, where `waiting` does not see them.
   */
  async drain(): Promise<void> {
    this.#ended = true;
    const endedMs = performance.now();
    let looks = 0;
    while (this.#readSinceEnd < initLimits.drainBytesMax && looks < initLimits.drainLooksMax) {
      if ((await within(this.#drained, initLimits.drainLookMs)) !== late) break;
      looks = this.#heldBack === 0 ? looks + 1 : 0;
      const quietMs = performance.now() - Math.max(endedMs, this.#lastReadMs);
      const quiet = this.#heldBack === 0 && quietMs >= initLimits.drainQuietMs;
      if (quiet && this.#process.waiting() === 0) break;
    }
    this.#closed = true;
    this.#process.stdout.close();
    this.#process.stderr?.close();
  }

  async #pump(name: OutputName, reader: DescriptorReader): Promise<void> {
    for (;;) {
      await this.#roomFor(name);
      const bytes = await reader.read();
      if (bytes === null || this.#closed) return;
      this.#lastReadMs = performance.now();
      if (this.#ended) this.#readSinceEnd += bytes.length;
      this.#state[name].append(bytes);
      this.#onOutput();
    }
  }

  async #roomFor(name: OutputName): Promise<void> {
    if (this.#state.readableBytes(name) >= initLimits.readBytesMax) return;
    this.#heldBack += 1;
    while (this.#state.readableBytes(name) < initLimits.readBytesMax)
      await this.#rooms[name].wait();
    this.#heldBack -= 1;
    this.#lastReadMs = performance.now();
  }
}
