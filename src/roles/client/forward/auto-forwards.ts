import type { Context } from "../../../cli/context.ts";
import { Failure } from "../../../cli/failure.ts";
import { UsageError } from "../../../cli/usage-error.ts";
import type { ListeningPort } from "../../../protocol/ports-message.ts";
import { printableLine } from "../../../protocol/printable-line.ts";
import { portHolder } from "../../../system/port-holder.ts";
import { clientLimits } from "../limits.ts";
import type { AttestedLink } from "../link/attested-link.ts";
import { AutoForwardWords } from "./auto-forward-words.ts";
import { followPorts } from "./follow-ports.ts";
import { describe } from "./forward-words.ts";
import { DuplicateForward, type Forwards } from "./forwards.ts";

export interface AutoForwardOptions {
  /** Forwards them, or only tells of them. */
  readonly mode: "on" | "notify";
  /** Whether one is forwarded without being asked for. */
  readonly allows: (port: number) => boolean;
  readonly forwards: Forwards;
  /** `-q`: nothing is told by itself. */
  readonly quiet: boolean;
  readonly env: Context["env"];
}

/** Who sees what they do. */
export interface AutoForwardAudience {
  /** By its id: what its programs listened on before we came is forwarded, too. */
  readonly session: string | undefined;
  /** How keys are written there; undefined where there are none. */
  readonly escape: string | undefined;
  readonly tell: (line: string) => void;
}

/** What a console has to do with them. */
export type LivePorts = Pick<AutoForwards, "lines" | "toggle" | "begin">;

/** A port here that leads to one there. */
interface Taken {
  readonly local: number;
  readonly why: string | undefined;
}

/**
 * Forwards for what programs in the vault listen on: they come and go with it. Forwarded is what a
 * program of the session has open, and what begins to listen while we are there; not what the machine
 * had from before, its database say, unless somebody asks for it.
 */
export class AutoForwards {
  readonly #options: AutoForwardOptions;
  readonly #words: AutoForwardWords;
  readonly #there = new Map<number, ListeningPort>();
  readonly #taken = new Map<number, Taken>();
  /** What somebody asked for, or does not want. */
  readonly #wished = new Map<number, boolean>();
  readonly #told = new Map<number, string>();
  #before: Set<number> | undefined;
  #tell: (line: string) => void = () => undefined;
  #turn: Promise<unknown> = Promise.resolve();
  #link: AttestedLink | undefined;
  /** Why the vault tells no more, or never did. */
  #ended: string | undefined;

  constructor(options: AutoForwardOptions) {
    this.#options = options;
    this.#words = new AutoForwardWords(options.env);
  }

  use(link: AttestedLink): void {
    this.#link = link;
  }

  /** For as long as the link lasts. A vault that is too old to tell has none. */
  begin({ session, escape, tell }: AutoForwardAudience): void {
    if (this.#link === undefined) return;
    this.#words.escape = escape;
    if (!this.#options.quiet) this.#tell = tell;
    const take = (ports: readonly ListeningPort[]): void =>
      void this.#inTurn(async () => this.take(ports)).catch((error: unknown) =>
        this.#tell(describe(error)),
      );
    followPorts(this.#link, session, take).catch((error: unknown) => {
      this.#ended = describe(error);
    });
  }

  /** One line for each port, for `~P`. */
  get lines(): readonly string[] {
    if (this.#ended !== undefined) return [this.#ended];
    return [...this.#there.values()].map((port) => {
      const taken = this.#taken.get(port.port);
      if (taken !== undefined) return this.#words.forwarded(port, taken.local, taken.why);
      return this.#options.forwards.leadsTo(port.port)
        ? this.#words.explicit(port)
        : this.#words.notForwarded(port);
    });
  }

  /** Forwards a port, or stops doing so, and gives what to answer. */
  async toggle(number: number): Promise<string> {
    return this.#inTurn(async () => {
      const port = this.#there.get(number);
      if (port === undefined) return `nothing listens on ${number} in the vault`;
      const isOn = this.#taken.has(number);
      this.#wish(number, !isOn);
      if (!isOn) return this.#start(port);
      await this.#stop(number);
      return this.#words.notForwarded(port);
    });
  }

  /** What listens there now. */
  async take(ports: readonly ListeningPort[]): Promise<void> {
    this.#before ??= new Set(
      ports.filter(({ in_session: isOurs }) => isOurs !== true).map(({ port }) => port),
    );
    const now = new Set(ports.map(({ port }) => port));
    for (const port of this.#before) if (!now.has(port)) this.#before.delete(port);
    for (const port of this.#there.keys()) {
      if (now.has(port)) continue;
      this.#there.delete(port);
      await this.#stop(port);
    }
    for (const port of ports) {
      this.#there.set(port.port, port);
      if (this.#isWanted(port)) await this.#show(port);
    }
  }

  #isWanted({ port }: ListeningPort): boolean {
    if (this.#taken.has(port) || this.#options.forwards.leadsTo(port)) return false;
    const wished = this.#wished.get(port);
    if (wished !== undefined) return wished;
    return this.#before?.has(port) !== true && this.#options.allows(port);
  }

  async #show(port: ListeningPort): Promise<void> {
    const isAsked = this.#wished.get(port.port) === true;
    const isOn = this.#options.mode === "on" || isAsked;
    const line = isOn ? await this.#start(port) : this.#words.heard(port);
    // A server that starts again and again is told of once.
    if (this.#told.get(port.port) === line) return;
    if (this.#told.size >= clientLimits.autoForwardsMax) this.#told.clear();
    this.#told.set(port.port, line);
    this.#tell(line);
  }

  /** Gives the line that says how it went. */
  async #start(port: ListeningPort): Promise<string> {
    if (this.#taken.size >= clientLimits.autoForwardsMax)
      return this.#words.failed(port, `${clientLimits.autoForwardsMax} are forwarded already`);
    let why: string | undefined;
    for (const local of candidates(port.port)) {
      try {
        await this.#options.forwards.add("L", `127.0.0.1:${local}:${targetOf(port)}`);
        this.#taken.set(port.port, { local, why });
        return this.#words.begun(port, local, why);
      } catch (error) {
        if (!isTaken(error)) return this.#words.failed(port, describe(error));
        why ??= holderWords(local, error);
      }
    }
    return this.#words.failed(port, `${clientLimits.portsTriedMax} ports here are in use`);
  }

  async #stop(port: number): Promise<void> {
    const taken = this.#taken.get(port);
    if (taken === undefined) return;
    this.#taken.delete(port);
    try {
      await this.#options.forwards.remove(`127.0.0.1:${taken.local}`, "L");
    } catch (error) {
      // Somebody has removed it meanwhile.
      if (!(error instanceof Failure)) throw error;
    }
  }

  #wish(port: number, isWanted: boolean): void {
    if (this.#wished.size >= clientLimits.autoForwardsMax) this.#wished.clear();
    this.#wished.set(port, isWanted);
  }

  async #inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    const turn = this.#turn.then(work);
    this.#turn = turn.catch(() => undefined);
    return turn;
  }
}

/** The same number, then those behind it; one of the system's own far above. */
function* candidates(port: number): Generator<number> {
  yield port;
  const next = port < 1024 ? port + 8000 : port + 1;
  const last = Math.min(next + clientLimits.portsTriedMax, 65_536);
  for (let local = next; local < last; local += 1) yield local;
}

function targetOf({ host, port }: ListeningPort): string {
  if (["0.0.0.0", "::", "127.0.0.1"].includes(host)) return `localhost:${port}`;
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

function isTaken(error: unknown): error is Failure | UsageError {
  if (error instanceof DuplicateForward) return true;
  return error instanceof Failure && (error.code === "FV-FWD-001" || error.code === "FV-FWD-002");
}

function holderWords(port: number, error: Failure | UsageError): string {
  if (error instanceof DuplicateForward) return `${port} is used by another forward`;
  if (error instanceof Failure && error.code === "FV-FWD-002") return `${port} cannot be used here`;
  const holder = portHolder("tcp", port, clientLimits.holderProcessesMax);
  return holder === undefined
    ? `${port} is used by another program`
    : `${port} is used by "${printableLine(holder.name, 64)}", pid ${holder.pid}`;
}
