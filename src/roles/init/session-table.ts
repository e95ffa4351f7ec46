import { RemoteError } from "../../protocol/errors.ts";
import { limits } from "../../protocol/limits.ts";
import type {
  SessionAttachRequest,
  SessionList,
  SessionOpenRequest,
} from "../../protocol/message.ts";
import { OutputBudget } from "../../protocol/session-output.ts";
import { initLimits } from "./limits.ts";
import { Session } from "./session.ts";
import type { SessionProcess } from "./session-process.ts";

export interface SessionTableOptions {
  readonly start: (request: SessionOpenRequest) => SessionProcess;
  readonly ringsBytesMax: number;
  readonly randomId: () => string;
}

/** All sessions of the machine, running and remembered, by id and by name. */
export class SessionTable {
  readonly #options: SessionTableOptions;
  readonly #budget: OutputBudget;
  readonly #byId = new Map<string, Session>();
  readonly #sweep: ReturnType<typeof setInterval>;

  constructor(options: SessionTableOptions) {
    this.#options = options;
    this.#budget = new OutputBudget(options.ringsBytesMax);
    this.#sweep = setInterval(() => this.#forgetOld(Date.now()), initLimits.sweepMs);
    this.#sweep.unref();
  }

  /** The session of that id, started now unless it was before: asking twice runs nothing twice. */
  open(request: SessionOpenRequest): { readonly session: Session; readonly created: boolean } {
    const known = this.#byId.get(request.id);
    if (known !== undefined) return { session: known, created: false };
    this.#freeName(request.name);
    if (this.#running() >= initLimits.runningMax)
      throw new RemoteError(
        "limit",
        `${initLimits.runningMax} sessions run already`,
        "End some: `fly-vault sessions` lists them",
      );
    const session = this.#start(request);
    this.#byId.set(session.id, session);
    this.#forgetOld(Date.now());
    return { session, created: true };
  }

  /** Throws `RemoteError`: "not-found", or "gone" when the process it asks for was another one. */
  find(request: SessionAttachRequest): Session {
    const session = this.#byId.get(request.session) ?? this.#named(request.session);
    if (request.generation !== undefined && session?.generation !== request.generation)
      throw new RemoteError(
        "gone",
        `Session ${request.session} is gone: the machine was restarted`,
      );
    if (session === undefined)
      throw new RemoteError("not-found", `There is no session ${request.session}`);
    return session;
  }

  list(): SessionList {
    return { sessions: Array.from(this.#byId.values(), describe) };
  }

  /** For the end of the workload: shells are told as by a terminal that hangs up. */
  hangUpAll(): void {
    for (const session of this.#byId.values()) {
      if (!session.running) continue;
      session.signalGroup(hangUp);
      session.signalGroup(terminate);
    }
  }

  close(): void {
    clearInterval(this.#sweep);
  }

  #start(request: SessionOpenRequest): Session {
    const process = this.#options.start(request);
    const generation = this.#options.randomId();
    const identity = { id: request.id, generation, startedAtMs: Date.now() };
    return new Session(identity, request, process, this.#budget);
  }

  #freeName(name: string | undefined): void {
    const holder = name === undefined ? undefined : this.#named(name);
    if (holder === undefined) return;
    if (holder.running)
      throw new RemoteError("already-exists", `A session named ${name} runs already`);
    holder.name = undefined;
  }

  #named(name: string): Session | undefined {
    return [...this.#byId.values()].find((session) => session.name === name);
  }

  #running(): number {
    return [...this.#byId.values()].filter((session) => session.running).length;
  }

  /** Those whose end is known first, then the oldest; none that runs or is being looked at. */
  #forgetOld(nowMs: number): void {
    const ended = [...this.#byId.values()]
      .filter((session) => !session.running && !session.attached)
      .toSorted(
        (a, b) =>
          Number(b.acknowledged) - Number(a.acknowledged) ||
          (a.endedAtMs ?? 0) - (b.endedAtMs ?? 0),
      );
    const tooMany = ended.length - initLimits.finishedMax;
    for (const [index, session] of ended.entries()) {
      const ageMs = nowMs - (session.endedAtMs ?? nowMs);
      if (index >= tooMany && ageMs < limits.finishedKeptMs) continue;
      session.state.close();
      this.#byId.delete(session.id);
    }
  }
}

function describe(session: Session): SessionList["sessions"][number] {
  return {
    session_id: session.id,
    // JSON leaves out what is undefined.
    name: session.name,
    argv: [...session.argv],
    context: session.request.context ?? null,
    attached: session.attached,
    exit_code: exitCode(session),
    tty: session.request.tty,
    started_at: new Date(session.startedAtMs).toISOString(),
  };
}

function exitCode(session: Session): number | null {
  const { exit } = session.state;
  if (exit === undefined) return null;
  return "code" in exit ? exit.code : 128 + exit.signal;
}

const hangUp = 1;
const terminate = 15;
