import { RemoteError } from "../../protocol/errors.ts";
import { limits } from "../../protocol/limits.ts";
import type {
  SessionList,
  SessionOpenRequest,
  SessionRenameRequest,
  SessionSignalRequest,
} from "../../protocol/session-message.ts";
import { OutputBudget } from "../../protocol/session-output.ts";
import { SessionState } from "../../protocol/session-server.ts";
import { initLimits } from "./limits.ts";
import { Session } from "./session.ts";
import { describeExit, describeSession } from "./session-summary.ts";
import type { SessionProcess } from "./session-process.ts";

export interface SessionTableOptions {
  readonly start: (request: SessionOpenRequest) => SessionProcess;
  /** Output kept: of each stream, and of all sessions together. */
  readonly ringBytes: number;
  readonly ringsBytesMax: number;
  readonly randomId: () => string;
  readonly wallMs: () => number;
  /** How long something was kept is told by this one: the other may be set. */
  readonly monotonicMs: () => number;
}

/** Id or name, and which process of that name. */
export interface SessionChoice {
  readonly session: string;
  readonly generation?: string | undefined;
}

/** All sessions of the machine, running and remembered, by id and by name. */
export class SessionTable {
  readonly #options: SessionTableOptions;
  readonly #budget: OutputBudget;
  readonly #byId = new Map<string, Session>();
  #usedMs = Number.NEGATIVE_INFINITY;
  readonly #sweep: ReturnType<typeof setInterval>;

  constructor(options: SessionTableOptions) {
    this.#options = options;
    this.#budget = new OutputBudget(options.ringsBytesMax);
    this.#sweep = setInterval(() => this.forgetOld(), initLimits.sweepMs);
    this.#sweep.unref();
  }

  /** The session of that id, started now unless it was before: asking twice runs nothing twice. */
  open(request: SessionOpenRequest): { readonly session: Session; readonly created: boolean } {
    const known = this.#byId.get(request.id);
    if (known !== undefined) return { session: known, created: false };
    this.#checkName(request.name);
    if (this.running.length >= initLimits.runningMax)
      throw new RemoteError(
        "limit",
        `${initLimits.runningMax} sessions run already`,
        "End some: `fly-vault list-exec` lists them",
      );
    const session = this.#start(request);
    this.#freeName(request.name);
    this.#byId.set(session.id, session);
    this.forgetOld();
    return { session, created: true };
  }

  /** Throws `RemoteError`: "not-found", or "gone" when the process it asks for was another one. */
  find(choice: SessionChoice): Session {
    const session = this.#byId.get(choice.session) ?? this.#named(choice.session);
    if (choice.generation !== undefined && session?.generation !== choice.generation)
      throw new RemoteError(
        "gone",
        `Session ${choice.session} is gone: it ended, or the machine was restarted`,
      );
    if (session === undefined)
      throw new RemoteError("not-found", `There is no session ${choice.session}`);
    return session;
  }

  /** Throws `RemoteError` as `find` does, and "already-exists" for a name that one that runs has. */
  rename(request: SessionRenameRequest): void {
    const session = this.find(request);
    if (session.name === request.name) return;
    this.#checkName(request.name);
    this.#freeName(request.name);
    session.name = request.name;
  }

  /** Throws `RemoteError` as `find` does, and "ended". */
  signal(request: SessionSignalRequest): void {
    const session = this.find(request);
    if (session.signal(request.signal, request.to)) return;
    const how = describeExit(session.state.exit);
    throw new RemoteError("ended", `Session ${request.session} has ended already${how}`);
  }

  /** When a client last typed something, came or started something; by the clock that nobody sets. */
  get usedMs(): number {
    return this.#usedMs;
  }

  /** Those that have not ended. */
  get running(): Session[] {
    return [...this.#byId.values()].filter((session) => session.running);
  }

  list(): SessionList {
    return { sessions: Array.from(this.#byId.values(), describeSession) };
  }

  /** For the end of the workload: shells are told as by a terminal that hangs up. */
  hangUpAll(): void {
    for (const session of this.#byId.values()) {
      session.signal(hangUp, "program");
      session.signal(terminate, "program");
    }
  }

  /**
   * Those that ended a day ago, and those that are too many: first the ones whose end is known, then
   * the oldest; none that runs or is being looked at.
   */
  forgetOld(): void {
    const nowMs = this.#options.monotonicMs();
    const ended = [...this.#byId.values()]
      .filter((session) => !session.running && !session.attached && session.viewerCount === 0)
      .toSorted(
        (a, b) => Number(b.seen) - Number(a.seen) || (a.keptSinceMs ?? 0) - (b.keptSinceMs ?? 0),
      );
    const tooMany = ended.length - initLimits.finishedMax;
    for (const [index, session] of ended.entries()) {
      const ageMs = nowMs - (session.keptSinceMs ?? nowMs);
      if (index >= tooMany && ageMs < limits.finishedKeptMs) continue;
      session.state.close();
      this.#byId.delete(session.id);
    }
  }

  close(): void {
    clearInterval(this.#sweep);
  }

  #start(request: SessionOpenRequest): Session {
    const { start, randomId, ringBytes, wallMs, monotonicMs } = this.#options;
    const process = start(request);
    const state = new SessionState({ budget: this.#budget, ringBytes });
    const onUse = (): void => {
      this.#usedMs = monotonicMs();
    };
    onUse();
    const generation = randomId();
    return new Session({ generation, request, process, state, wallMs, monotonicMs, onUse });
  }

  #checkName(name: string | undefined): void {
    if (name !== undefined && this.#named(name)?.running === true)
      throw new RemoteError("already-exists", `A session named ${name} runs already`);
  }

  /** A session that has ended loses its name to the next one. */
  #freeName(name: string | undefined): void {
    const holder = name === undefined ? undefined : this.#named(name);
    if (holder !== undefined) holder.name = undefined;
  }

  #named(name: string): Session | undefined {
    return [...this.#byId.values()].find((session) => session.name === name);
  }
}

const hangUp = 1;
const terminate = 15;
