import type { Context } from "../../../cli/context.ts";
import { Failure } from "../../../cli/failure.ts";
import { UsageError } from "../../../cli/usage-error.ts";
import { whenLate } from "../../../system/within.ts";
import type { AttestedLink, LinkState } from "../link/attested-link.ts";
import { ForwardDoor } from "./forward-door.ts";
import {
  countOf,
  endAt,
  type ForwardKind,
  type ForwardSpec,
  ForwardSpecError,
  isLoopback,
  parseForward,
  showEnd,
  showPorts,
  withGateway,
} from "./forward-spec.ts";
import { arrowFor, forwardLine } from "./forward-words.ts";
import { clientLimits } from "../limits.ts";
import type { ForwardState, LiveForward } from "./live-forward.ts";
import { LocalForward } from "./local-forward.ts";
import { LocalUdpForward } from "./local-udp-forward.ts";
import { NoteLimiter } from "./note-limiter.ts";
import { RemoteForward } from "./remote-forward.ts";
import { randomName } from "../session/session-request.ts";

export interface ForwardsOptions {
  readonly vault: string;
  /** `--gateway`: others than this computer, or the vault, may connect. */
  readonly gateway: boolean;
  /** Something a person should know. */
  readonly note: (line: string) => void;
  /** For who shows how they stand: something of that has changed. */
  readonly onChange?: () => void;
}

/** How one of them stands, for those who list them. */
export interface ForwardView {
  readonly kind: ForwardKind;
  readonly listen: string;
  /** Null of a dynamic one. */
  readonly target: string | null;
  readonly state: ForwardState;
  readonly connections: number;
  /** As people are shown it. */
  readonly line: string;
}

/** Something listens there already, and it is ours. */
export class DuplicateForward extends UsageError {}

/**
 * All forwards of one process. They outlive the link, and are added and removed while it runs. One spec
 * is one forward, however many ports it has.
 */
export class Forwards {
  readonly #options: ForwardsOptions;
  readonly #context: Pick<Context, "env" | "randomBytes">;
  readonly #door: ForwardDoor;
  readonly #notes: NoteLimiter;
  readonly #live: LiveForward[] = [];
  #link: LinkState["kind"] = "down";
  #turn: Promise<unknown> = Promise.resolve();

  /** Binds every local port before anything is sent. Rejects with `Failure` when one is taken. */
  static async open(
    specs: readonly ForwardSpec[],
    options: ForwardsOptions,
    context: Pick<Context, "env" | "randomBytes">,
  ): Promise<Forwards> {
    const forwards = new Forwards(options, context);
    try {
      for (const spec of specs) await forwards.#start(spec);
      return forwards;
    } catch (error) {
      await forwards.close();
      throw error;
    }
  }

  private constructor(options: ForwardsOptions, context: Pick<Context, "env" | "randomBytes">) {
    this.#options = options;
    this.#context = context;
    this.#door = new ForwardDoor(options.vault);
    this.#notes = new NoteLimiter(options.note);
  }

  /** One line for each, as `127.0.0.1:3000 → my-dev localhost:3000`. */
  get lines(): readonly string[] {
    return this.#live.map((forward) => this.#line(forward));
  }

  /** The same with how they stand. */
  get statusLines(): readonly string[] {
    return this.#live.map((forward) => `${this.#line(forward)}   ${this.#stateWords(forward)}`);
  }

  get connectionCount(): number {
    return this.#live.reduce((sum, forward) => sum + forward.connectionCount, 0);
  }

  /** Whether one from here leads to that port of the vault itself. */
  leadsTo(port: number): boolean {
    return this.#live.some(({ spec: { kind, target } }) => {
      if (kind !== "L" || target?.kind !== "tcp" || !isLoopback(target.host)) return false;
      return target.port <= port && port < target.port + target.count;
    });
  }

  list(): ForwardView[] {
    return this.#live.map((forward) => ({
      kind: forward.spec.kind,
      listen: showEnd(forward.listen),
      target: forward.spec.target === undefined ? null : showEnd(forward.spec.target),
      state: this.#stateOf(forward),
      connections: forward.connectionCount,
      line: this.#line(forward),
    }));
  }

  use(link: AttestedLink): void {
    this.#link = "up";
    this.#door.use(link);
    const { vault, gateway } = this.#options;
    const listensThere = this.#live.some(({ spec }) => spec.kind === "R");
    if (gateway && listensThere && link.login.status.firewall === "on")
      this.#notes.note(`others reach ports of ${vault} only where its VAULT_OPEN_PORTS names them`);
  }

  linkState({ kind }: LinkState): void {
    if (this.#link === kind) return;
    this.#link = kind;
    this.#options.onChange?.();
  }

  /** What the vault refused of those that listen there, once it was asked for all of them. */
  async refusals(): Promise<readonly Failure[]> {
    const started = this.#live.map(async (forward) =>
      forward instanceof RemoteForward ? forward.started : undefined,
    );
    return (await Promise.all(started)).filter((failure) => failure !== undefined);
  }

  /** Resolves with the line to show; while the link is down or stands still without the vault's word. Rejects with `UsageError` or `Failure`; then nothing was added. */
  async add(kind: ForwardKind, text: string): Promise<string> {
    const spec = readSpec(kind, text, this.#options.gateway);
    const { promise: tooLong, resolve } = Promise.withResolvers<void>();
    // From here on: who waits for us has waited for those before us, too.
    const cancel = whenLate(clientLimits.forwardAddMs, resolve);
    const turn = this.#turn.then(async () => this.#add(spec, tooLong)).finally(cancel);
    this.#turn = turn.catch(() => undefined);
    return turn;
  }

  /**
   * By where it listens: an address, a port alone, or a path. Resolves with its line. Rejects with
   * `Failure` where none does, or more than one.
   */
  async remove(listen: string, kind?: ForwardKind): Promise<string> {
    const found = this.#live.filter(
      (forward) => (kind === undefined || forward.spec.kind === kind) && listensAt(forward, listen),
    );
    const [forward] = found;
    if (forward === undefined)
      throw new Failure("FV-FWD-005", `no forward listens on ${listen}`, {
        because: this.#live.length === 0 ? "there are none" : `there are ${this.lines.join(", ")}`,
      });
    if (found.length > 1)
      throw new Failure("FV-FWD-005", `${found.length} forwards listen on ${listen}`, {
        because: found.map((each) => this.#line(each)).join(", "),
        fix: "say the whole address, or which kind is meant: -L, -R or -D",
      });
    const line = this.#line(forward);
    await this.#drop(forward);
    return line;
  }

  async close(): Promise<void> {
    await Promise.all(this.#live.map(async (forward) => forward.close()));
  }

  async #add(spec: ForwardSpec, tooLong: Promise<void>): Promise<string> {
    checkTogether([...this.#live.map((forward) => forward.spec), spec]);
    const forward = await this.#start(spec);
    const failure =
      forward instanceof RemoteForward ? await this.#refusalOf(forward, tooLong) : undefined;
    if (failure === undefined) return this.#line(forward);
    await this.#drop(forward);
    throw failure;
  }

  /** A vault that cannot be asked now says later what it thinks of it: whoever adds one is not held up for that. */
  async #refusalOf(forward: RemoteForward, tooLong: Promise<void>): Promise<Failure | undefined> {
    if (this.#link === "down") return undefined;
    return (await Promise.race([forward.started, tooLong])) ?? undefined;
  }

  async #start(spec: ForwardSpec): Promise<LiveForward> {
    const surroundings = {
      note: (line: string) => this.#notes.note(line),
      changed: () => this.#options.onChange?.(),
    };
    const forward = await this.#openOne(spec, surroundings);
    this.#live.push(forward);
    return forward;
  }

  async #openOne(
    spec: ForwardSpec,
    surroundings: { readonly note: (line: string) => void; readonly changed: () => void },
  ): Promise<LiveForward> {
    if (spec.kind === "R")
      return new RemoteForward(spec, this.#door, {
        ...surroundings,
        gateway: this.#options.gateway,
        randomId: () => randomName(this.#context),
      });
    return spec.listen.kind === "udp"
      ? LocalUdpForward.open(spec, this.#door, surroundings)
      : LocalForward.open(spec, this.#door, surroundings);
  }

  async #drop(forward: LiveForward): Promise<void> {
    const at = this.#live.indexOf(forward);
    if (at !== -1) this.#live.splice(at, 1);
    await forward.close();
    this.#options.onChange?.();
  }

  #line(forward: LiveForward): string {
    return forwardLine(forward, this.#options.vault, arrowFor(this.#context.env));
  }

  #stateOf(forward: LiveForward): ForwardState {
    return this.#link === "down" && forward.state === "up" ? "waiting" : forward.state;
  }

  #stateWords(forward: LiveForward): string {
    if (this.#link === "down" && forward.state !== "failed") return "waiting (link down)";
    return forward.state === "waiting" ? "waiting (asking the vault)" : forward.state;
  }
}

/** Throws `UsageError` for a spec that cannot be read, or is more open than was said. */
export function readSpec(kind: ForwardKind, text: string, gateway: boolean): ForwardSpec {
  try {
    return withGateway(parseForward(kind, text), gateway);
  } catch (error) {
    if (error instanceof ForwardSpecError)
      throw new UsageError(`-${kind} ${text} ${error.message}`);
    throw error;
  }
}

/** Throws `UsageError` for two at one address, or more ports than there may be. */
export function checkTogether(specs: readonly ForwardSpec[]): void {
  const seen = new Set<string>();
  for (const { kind, listen } of specs) {
    if (listen.kind !== "unix" && listen.port === 0) continue;
    for (let index = 0; index < countOf(listen); index += 1) {
      const where = `${kind === "R" ? "the vault's " : ""}${showEnd(endAt(listen, index))}`;
      if (seen.has(where)) throw new DuplicateForward(`two forwards listen on ${where}`);
      seen.add(where);
    }
  }
  const ports = specs.reduce((sum, { listen }) => sum + countOf(listen), 0);
  if (ports > clientLimits.forwardPortsMax)
    throw new UsageError(`${ports} forwards, at most ${clientLimits.forwardPortsMax}`);
  const remote = specs
    .filter(({ kind }) => kind === "R")
    .reduce((sum, { listen }) => sum + countOf(listen), 0);
  if (remote > clientLimits.remotePortsMax)
    throw new UsageError(`${remote} forwards by -R, at most ${clientLimits.remotePortsMax}`);
}

function listensAt(forward: LiveForward, listen: string): boolean {
  return [forward.spec.text, showEnd(forward.listen), showPorts(forward.listen)].includes(listen);
}
