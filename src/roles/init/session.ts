import { RemoteError } from "../../protocol/errors.ts";
import type { Exit, SessionOpenRequest } from "../../protocol/message.ts";
import type { OutputName } from "../../protocol/session-frame.ts";
import type { OutputBudget } from "../../protocol/session-output.ts";
import { SessionState } from "../../protocol/session-server.ts";
import type { DescriptorReader } from "../../system/process-pipe.ts";
import type { TerminalSize } from "../../system/pty.ts";
import type { ProcessEnd } from "../../system/reaper.ts";
import { late, within } from "../../system/within.ts";
import { initLimits } from "./limits.ts";
import type { SessionProcess } from "./session-process.ts";
import { Wake } from "./wake.ts";

export interface SessionIdentity {
  readonly id: string;
  readonly generation: string;
  readonly startedAtMs: number;
}

/** A client connection that shows this session; the session tells it when to look again. */
export interface Viewer {
  readonly client: string;
  readonly wake: Wake;
  /** Ends it with a word to the client. */
  readonly dismiss: (reason: RemoteError) => void;
}

/** One program with its output kept, from its start to long after its end. Outlives every connection. */
export class Session {
  readonly id: string;
  readonly generation: string;
  readonly startedAtMs: number;
  readonly request: SessionOpenRequest;
  readonly argv: readonly string[];
  readonly state: SessionState;
  /** Lost to a newer session of that name once this one has ended. */
  name: string | undefined;
  endedAtMs: number | undefined;
  /** Its client knows how it ended: the first to be forgotten. */
  #acknowledged = false;
  readonly #process: SessionProcess;
  readonly #viewers = new Set<Viewer>();
  readonly #room = new Wake();
  readonly #stderrRoom = new Wake();
  #input: Promise<void> = Promise.resolve();
  #timedOut = false;
  #readSinceEnd = 0;
  #lastReadMs = 0;
  /** Outputs not read because a client has not acknowledged enough. */
  #heldBack = 0;
  #ended = false;
  readonly finished: Promise<void>;

  constructor(
    identity: SessionIdentity,
    request: SessionOpenRequest,
    process: SessionProcess,
    budget: OutputBudget,
  ) {
    this.id = identity.id;
    this.generation = identity.generation;
    this.startedAtMs = identity.startedAtMs;
    this.request = request;
    this.name = request.name;
    this.argv = process.argv;
    this.state = new SessionState({ budget });
    this.#process = process;
    this.finished = this.#run();
  }

  get running(): boolean {
    return this.endedAtMs === undefined;
  }

  get acknowledged(): boolean {
    return this.#acknowledged;
  }

  /** Its client has all output and the exit: memory goes to others, unless people know it by name. */
  acknowledge(): void {
    this.#acknowledged = true;
    if (this.name === undefined && this.#viewers.size <= 1) this.state.close();
  }

  get attached(): boolean {
    return this.#viewers.size > 0;
  }

  get viewerCount(): number {
    return this.#viewers.size;
  }

  addViewer(viewer: Viewer): void {
    this.#viewers.add(viewer);
  }

  /** Its place in the output is held for a while when it may come back for every byte of a pipe. */
  removeViewer(viewer: Viewer): void {
    this.#viewers.delete(viewer);
    if (this.#isPresent(viewer.client)) return;
    const release = (): void => {
      if (this.#isPresent(viewer.client)) return;
      this.state.release(viewer.client);
      this.roomChanged();
    };
    if (this.request.tty || !this.running) release();
    else setTimeout(release, initLimits.awayHoldMs).unref();
  }

  /** All others are told, and lose it. */
  takeOver(viewer: Viewer): void {
    for (const other of this.#viewers) {
      if (other === viewer) continue;
      this.#viewers.delete(other);
      // The same client on a new connection: the old one is dead, only we do not know yet.
      if (other.client !== viewer.client) this.state.release(other.client);
      other.dismiss(new RemoteError("taken-over", "Another client has taken this session over"));
    }
    this.roomChanged();
  }

  /** Acknowledged output or a client less: the program may be read from again. */
  roomChanged(): void {
    this.#room.notify();
    this.#stderrRoom.notify();
  }

  /** Hands bytes to the program, after those that came before; `taken` runs when it has them, or never will. */
  writeInput(bytes: Uint8Array, taken: () => void): void {
    this.#afterInput(async () => {
      await this.#process.stdin.write(bytes);
      taken();
    });
  }

  /** A pipe is closed; a terminal gets the character that means the end, which is for the program to read. */
  endInput(): void {
    this.#afterInput(async () => {
      if (this.request.tty) await this.#process.stdin.write(endOfTransmission);
      else this.#process.stdin.close();
    });
  }

  #afterInput(work: () => Promise<void>): void {
    const before = this.#input;
    const run = async (): Promise<void> => {
      await before;
      // A program that is gone takes nothing; its end is told by the exit.
      await work().catch(() => undefined);
    };
    this.#input = run();
  }

  resize(size: TerminalSize): void {
    if (!this.#ended) this.#process.resize(size);
  }

  signal(signal: number): void {
    if (!this.#ended) this.#process.signal(signal);
  }

  /** To the program's own group, whatever is in the foreground. */
  signalGroup(signal: number): void {
    if (!this.#ended) this.#process.signalGroup(signal);
  }

  async #run(): Promise<void> {
    const { stdout, stderr, ended } = this.#process;
    const timer = this.#startTimer();
    const pumps = [this.#pump("stdout", stdout, this.#room)];
    if (stderr !== undefined) pumps.push(this.#pump("stderr", stderr, this.#stderrRoom));
    const drained = Promise.all(pumps);
    const end = await ended;
    this.#ended = true;
    clearTimeout(timer);
    await this.#drain(drained);
    for (const output of [stdout, stderr]) output?.close();
    this.#process.stdin.close();
    this.endedAtMs = Date.now();
    this.state.finish(this.#exitOf(end));
    this.#wakeViewers();
  }

  async #pump(name: OutputName, reader: DescriptorReader, room: Wake): Promise<void> {
    for (;;) {
      await this.#roomFor(name, room);
      const bytes = await reader.read();
      if (bytes === null || this.endedAtMs !== undefined) return;
      this.#lastReadMs = performance.now();
      if (this.#ended) this.#readSinceEnd += bytes.length;
      this.state[name].append(bytes);
      this.#wakeViewers();
    }
  }

  async #roomFor(name: OutputName, room: Wake): Promise<void> {
    if (this.state.readableBytes(name) >= initLimits.readBytesMax) return;
    this.#heldBack += 1;
    while (this.state.readableBytes(name) < initLimits.readBytesMax) await room.wait();
    this.#heldBack -= 1;
    this.#lastReadMs = performance.now();
  }

  /**
   * All the program wrote is read. What it left in the background may hold the pipes open for ever,
   * so with nothing left to read, or with more read than pipes can hold, it is over. While a client
   * holds an output back, its last bytes may wait in Bun's stream, where `waiting` does not see them.
   */
  async #drain(drained: Promise<unknown>): Promise<void> {
    const endedMs = performance.now();
    while (this.#readSinceEnd < initLimits.drainBytesMax) {
      if ((await within(drained, initLimits.drainLookMs)) !== late) return;
      const quietMs = performance.now() - Math.max(endedMs, this.#lastReadMs);
      const quiet = this.#heldBack === 0 && quietMs >= initLimits.drainQuietMs;
      if (quiet && this.#process.waiting() === 0) return;
    }
  }

  #startTimer(): ReturnType<typeof setTimeout> | undefined {
    const { timeout_ms: timeoutMs } = this.request;
    if (timeoutMs === undefined) return undefined;
    return setTimeout(
      () => {
        this.#timedOut = true;
        this.signalGroup(terminate);
        setTimeout(() => this.signalGroup(kill), initLimits.timeoutKillMs).unref();
      },
      Math.min(timeoutMs, initLimits.timerMsMax),
    );
  }

  #exitOf(end: ProcessEnd): Exit {
    if (this.#timedOut)
      return { signal: end.kind === "killed" ? end.signal : terminate, timed_out: true };
    if (end.kind === "exited") return { code: end.code };
    return { signal: end.signal, ...(end.outOfMemory === true ? { out_of_memory: true } : {}) };
  }

  #wakeViewers(): void {
    for (const viewer of this.#viewers) viewer.wake.notify();
  }

  #isPresent(client: string): boolean {
    return [...this.#viewers].some((viewer) => viewer.client === client);
  }
}

const endOfTransmission = Uint8Array.of(4);
const terminate = 15;
const kill = 9;
