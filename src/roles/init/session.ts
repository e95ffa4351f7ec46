import { RemoteError } from "../../protocol/errors.ts";
import { limits } from "../../protocol/limits.ts";
import type {
  SessionOpenRequest,
  SessionReply,
  SessionSignalRequest,
} from "../../protocol/session-message.ts";
import type { SessionState } from "../../protocol/session-server.ts";
import type { TerminalSize } from "../../system/pty.ts";
import { initLimits } from "./limits.ts";
import { exitOf, terminate } from "./session-exit.ts";
import type { SessionProcess } from "./session-process.ts";
import { SessionPump } from "./session-pump.ts";
import type { Wake } from "./wake.ts";

export interface SessionParts {
  readonly generation: string;
  readonly request: SessionOpenRequest;
  readonly process: SessionProcess;
  readonly state: SessionState;
  readonly wallMs: () => number;
  readonly monotonicMs: () => number;
  /** A client typed something, or has come for the first time. */
  readonly onUse: () => void;
}

/** A connection of a client that has this session; the session tells it when to look again. */
export interface AttachedClient {
  readonly client: string;
  /** What it calls itself, for people. */
  readonly label?: string | undefined;
  readonly sinceMs: number;
  /** Of its window; without one it is not on a terminal, or has not said. */
  size?: TerminalSize;
  /** Shares it with nobody, unless they ask to. */
  readonly drives: boolean;
  readonly wake: Wake;
  /** Ends it with a word to the client. */
  readonly dismiss: (reason: RemoteError) => void;
}

/** One program with its output kept, from its start to long after its end. Outlives every connection. */
export class Session {
  readonly generation: string;
  readonly startedAtMs: number;
  readonly request: SessionOpenRequest;
  readonly state: SessionState;
  readonly #process: SessionProcess;
  readonly #pump: SessionPump;
  readonly onUse: () => void;
  readonly #wallMs: () => number;
  readonly #monotonicMs: () => number;
  readonly #clients = new Set<AttachedClient>();
  readonly #viewers = new Set<Wake>();
  readonly #waiters = new Set<() => void>();
  #name: string | undefined;
  #endedAtMs: number | undefined;
  #keptSinceMs: number | undefined;
  #acknowledged = false;
  #seen = false;
  #input: Promise<void> = Promise.resolve();
  #inputBytes = 0;
  /** Runs while the output is held back for a driver that is away. */
  #awayTimer: ReturnType<typeof setTimeout> | undefined;
  #timedOut = false;
  #ended = false;
  #size: TerminalSize;
  #isRepainting = false;
  #driver: string | undefined;
  /** Clients that lost it while their link was down, and to whom: told when they come back. */
  readonly #displaced = new Map<string, RemoteError>();

  constructor({ generation, request, process, state, wallMs, monotonicMs, onUse }: SessionParts) {
    this.generation = generation;
    this.request = request;
    this.state = state;
    this.startedAtMs = wallMs();
    this.#process = process;
    this.#wallMs = wallMs;
    this.onUse = onUse;
    this.#monotonicMs = monotonicMs;
    this.#name = request.name;
    this.#size = { rows: request.rows ?? 24, cols: request.cols ?? 80 };
    this.#pump = new SessionPump(process, state, () => this.#wakeAll());
    void this.#run();
  }

  get id(): string {
    return this.request.id;
  }

  /** What every reply says of it. */
  get identity(): Pick<SessionReply, "id" | "name" | "generation" | "tty"> {
    const { generation, request } = this;
    const named = this.#name === undefined ? {} : { name: this.#name };
    return { id: request.id, ...named, generation, tty: request.tty };
  }

  /** The program as it was started: its words, user, folder and number, as they are called inside. */
  get program(): Pick<
    SessionProcess,
    "argv" | "user" | "cwd" | "pid" | "insidePid" | "term" | "show"
  > {
    return this.#process;
  }

  get name(): string | undefined {
    return this.#name;
  }

  set name(name: string | undefined) {
    this.#name = name;
    this.#rate();
  }

  get running(): boolean {
    return this.#endedAtMs === undefined;
  }

  /** By the clock on the wall, for people. */
  get endedAtMs(): number | undefined {
    return this.#endedAtMs;
  }

  /** The same by the clock that nobody sets. */
  get keptSinceMs(): number | undefined {
    return this.#keptSinceMs;
  }

  /** Its client was told how it ended: the first to be forgotten. */
  get seen(): boolean {
    return this.#seen;
  }

  /** The exit went out to the one that drives it, which mostly goes too soon after it to acknowledge it. */
  tellEnd(): void {
    this.#seen = true;
  }

  /** All of its output has arrived. */
  acknowledge(): void {
    this.#seen = true;
    this.#acknowledged = true;
    this.#rate();
  }

  /** What its client has seen to the end gives way to others when memory is short, unless people know it by name. */
  #rate(): void {
    this.state.expendable = this.#acknowledged && this.#name === undefined;
  }

  /** By the clock on the wall. */
  get nowMs(): number {
    return this.#wallMs();
  }

  get attached(): boolean {
    return this.#clients.size > 0;
  }

  /** A login shell with nothing else in its foreground: nobody waits for what it does. */
  get isAtPrompt(): boolean {
    return !this.#ended && this.request.argv === undefined && this.#process.leadsForeground();
  }

  get clientCount(): number {
    return this.#clients.size;
  }

  get viewerCount(): number {
    return this.#viewers.size;
  }

  get waiterCount(): number {
    return this.#waiters.size;
  }

  /** In the order they came. */
  get clients(): readonly AttachedClient[] {
    return [...this.#clients];
  }

  /** The older connection of the same client is dead, only we do not know yet. */
  addClient(client: AttachedClient): void {
    for (const other of this.#clients)
      if (other.client === client.client) this.#dismiss(other, client);
    this.#clients.add(client);
  }

  /** Throws `RemoteError` to one that was taken over while its link was down. */
  checkReturn(client: string): void {
    const reason = this.#displaced.get(client);
    if (reason !== undefined) throw reason;
  }

  /** Its place in the output is held for a while when it may come back for every byte of a pipe. */
  removeClient(client: AttachedClient): void {
    // Whoever took over has seen to it already.
    if (!this.#clients.delete(client)) return;
    this.#fit();
    if (this.#isPresent(client.client)) return;
    this.state.leave(client.client);
    if (!client.drives) return;
    const release = (): void => {
      this.state.releaseAllBut(undefined);
      this.roomChanged();
    };
    if (this.request.tty || !this.running) {
      release();
      return;
    }
    this.#awayTimer = setTimeout(release, initLimits.awayHoldMs);
    this.#awayTimer.unref();
  }

  /** Woken with each output and at the end, until what is returned is called. Changes nothing. */
  addViewer(wake: Wake): () => void {
    this.#viewers.add(wake);
    return () => void this.#viewers.delete(wake);
  }

  /** Calls `body` once when it has ended, unless what is returned was called before. */
  whenEnded(body: () => void): () => void {
    if (!this.running) {
      body();
      return () => undefined;
    }
    this.#waiters.add(body);
    return () => void this.#waiters.delete(body);
  }

  /** All others are told, and lose it, but where it is the one who has it, on a new connection. Nobody else is waited for, nor one who is away. */
  takeOver(heir: AttachedClient): void {
    clearTimeout(this.#awayTimer);
    const isBack = this.#driver === heir.client;
    for (const other of this.#clients) {
      const fits = isBack && this.clientCount <= initLimits.clientsPerSessionMax;
      if (other !== heir && !(fits && other.client !== heir.client)) this.#dismiss(other, heir);
    }
    if (this.#driver !== undefined) this.#displace(this.#driver, heir);
    this.#driver = heir.client;
    this.#displaced.delete(heir.client);
    this.state.releaseAllBut(heir.client);
    this.roomChanged();
  }

  #dismiss(other: AttachedClient, heir: AttachedClient): void {
    this.#clients.delete(other);
    // The same client on a new connection: the old one is dead, only we do not know yet.
    if (other.client !== heir.client) {
      this.state.leave(other.client);
      this.#displace(other.client, heir);
    }
    other.dismiss(takenOver(heir));
  }

  #displace(client: string, heir: AttachedClient): void {
    if (client === heir.client) return;
    this.#displaced.delete(client);
    this.#displaced.set(client, takenOver(heir));
    const [oldest] = this.#displaced.keys();
    if (this.#displaced.size > limits.inputsMax && oldest !== undefined)
      this.#displaced.delete(oldest);
  }

  /** Acknowledged output or a client less: the program may be read from again. */
  roomChanged(): void {
    this.#pump.roomChanged();
  }

  /** The program reads so little that no more can wait for it: each client's window bounds only its own. */
  get inputIsFull(): boolean {
    return this.#inputBytes >= initLimits.inputQueueBytesMax;
  }

  /** Hands bytes to the program, after those that came before; `taken` runs when it has them, or never will. */
  writeInput(bytes: Uint8Array, taken: () => void): void {
    this.#inputBytes += bytes.length;
    this.onUse();
    this.#afterInput(async () => {
      try {
        await this.#process.stdin.write(bytes);
      } finally {
        this.#inputBytes -= bytes.length;
        taken();
      }
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

  /** A client's window has that size; with `repaint` its screen is drawn anew, whatever the size was. */
  resize(client: AttachedClient, size: TerminalSize, repaint: boolean): void {
    client.size = size;
    const before = this.#size;
    this.#fit();
    if (repaint && isSame(before, this.#size)) this.#repaint();
  }

  /** All see one screen: it has room in the smallest window of those who are there. */
  #fit(): void {
    const sizes = this.clients.flatMap((client) => client.size ?? []);
    if (sizes.length === 0) return;
    const rows = Math.min(...sizes.map((size) => size.rows));
    const cols = Math.min(...sizes.map((size) => size.cols));
    if (isSame(this.#size, { rows, cols })) return;
    this.#size = { rows, cols };
    this.#applySize(this.#size);
  }

  /** The kernel tells programs of a change of size alone. */
  #repaint(): void {
    if (this.#isRepainting) return;
    this.#isRepainting = true;
    const { rows, cols } = this.#size;
    this.#applySize(rows > 1 ? { rows: rows - 1, cols } : { rows: rows + 1, cols });
    setTimeout(() => {
      this.#isRepainting = false;
      this.#applySize(this.#size);
    }, initLimits.repaintMs).unref();
  }

  #applySize(size: TerminalSize): void {
    if (!this.#ended) this.#process.resize(size);
  }

  /** False when there is nothing left to signal. */
  signal(signal: number, to: SessionSignalRequest["to"] = "foreground"): boolean {
    if (this.#ended) return false;
    if (to === "foreground") this.#process.signal(signal);
    else this.#process.signalGroup(signal);
    return true;
  }

  async #run(): Promise<void> {
    const timer = this.#startTimer();
    const end = await this.#process.ended;
    this.#ended = true;
    clearTimeout(timer);
    await this.#pump.drain();
    clearTimeout(this.#awayTimer);
    this.#process.stdin.close();
    this.#endedAtMs = this.#wallMs();
    this.#keptSinceMs = this.#monotonicMs();
    this.state.finish(exitOf(end, this.#timedOut));
    this.#wakeAll();
    for (const body of this.#waiters) body();
    this.#waiters.clear();
  }

  #startTimer(): ReturnType<typeof setTimeout> | undefined {
    const { timeout_ms: timeoutMs } = this.request;
    if (timeoutMs === undefined) return undefined;
    return setTimeout(
      () => {
        this.#timedOut = true;
        this.signal(terminate, "program");
        setTimeout(() => this.signal(kill, "program"), initLimits.timeoutKillMs).unref();
      },
      Math.min(timeoutMs, initLimits.timerMsMax),
    );
  }

  #wakeAll(): void {
    for (const client of this.#clients) client.wake.notify();
    for (const viewer of this.#viewers) viewer.notify();
  }

  #isPresent(client: string): boolean {
    return [...this.#clients].some((other) => other.client === client);
  }
}

function takenOver({ label }: AttachedClient): RemoteError {
  const who = label === undefined || label === "" ? "Another client" : label;
  return new RemoteError("taken-over", `${who} has taken this session over`);
}

function isSame(one: TerminalSize, other: TerminalSize): boolean {
  return one.rows === other.rows && one.cols === other.cols;
}

const endOfTransmission = Uint8Array.of(4);
const kill = 9;
