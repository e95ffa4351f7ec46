import { BrokenPipe, type Context } from "../../../cli/context.ts";
import { Failure } from "../../../cli/failure.ts";
import type { FailureCode } from "../../../cli/failure-codes.ts";
import { emptyReplySchema } from "../../../protocol/message.ts";
import type { SessionSignalRequest } from "../../../protocol/session-message.ts";
import { printable } from "../../../cli/printable.ts";
import { within } from "../../../system/within.ts";
import { plainAudience } from "../forward/auto-forward-flag.ts";
import type { AutoForwards } from "../forward/auto-forwards.ts";
import { askOnce } from "../link/ask-once.ts";
import type { AttestedLink, LinkState } from "../link/attested-link.ts";
import { finishedStatus, signalNumbers, stoppedStatus, type StopSignal } from "./exit-status.ts";
import { Interactive } from "./interactive.ts";
import { clientLimits } from "../limits.ts";
import { Pipe, type PipeOptions } from "./pipe.ts";
import type { SessionPlan, SessionReport } from "./session-run.ts";
import type { Vault } from "../link/vault-link.ts";

export interface ForegroundSession {
  readonly plan: SessionPlan;
  /** Its id, or the name it is asked for by. */
  readonly session: string;
  readonly tty: boolean;
  /** It was there before us, and goes on after us: neither our terminal nor our reader is its own. */
  readonly guest: boolean;
  /** Of the one that is started if there is none of that name: with any other we are a guest. */
  readonly ownId?: string;
  readonly onAttached?: NonNullable<PipeOptions["onAttached"]>;
}

export interface ForegroundOptions {
  readonly vault: string;
  readonly report: SessionReport;
  readonly quiet: boolean;
  /** `--escape`. */
  readonly escape?: string | undefined;
  readonly ports?: AutoForwards | undefined;
}

/** A session in front of the user until it ends or is left, on their terminal or as a pipe. */
export class Foreground {
  readonly #context: Context;
  readonly #vault: string;
  readonly #report: SessionReport;
  readonly #quiet: boolean;
  readonly #interactive: Interactive;
  readonly #ports: AutoForwards | undefined;

  /** Throws `UsageError` for an escape key that is none. */
  constructor(context: Context, given: ForegroundOptions) {
    this.#context = context;
    this.#interactive = new Interactive(context, { escape: given.escape, ports: given.ports });
    this.#ports = given.ports;
    this.#vault = given.vault;
    this.#report = given.report;
    this.#quiet = given.quiet;
  }

  readonly linkState = (state: LinkState): void => this.#interactive.linkState(state);

  /**
   * Runs `work` for a session that is on a terminal, or may be: `~.` ends it from before the first dial
   * on. The terminal is given back whatever happens.
   */
  async onKeys(
    vault: Vault,
    work: (vault: Vault, context: Context) => Promise<number>,
  ): Promise<number> {
    try {
      return await work(this.#interactive.watching(vault), this.#interactive.context);
    } finally {
      this.#interactive.close();
    }
  }

  /** Resolves with the exit status of this client. */
  async show(link: AttestedLink, wish: ForegroundSession): Promise<number> {
    // A terminal over there needs none here; then its bytes pass as through a pipe.
    const onTerminal = wish.tty && this.#context.stdin.isTty;
    this.#ports?.use(link);
    if (!onTerminal) this.#ports?.begin(plainAudience(this.#context, wish.session));
    try {
      return await (onTerminal ? this.#onTerminal(link, wish) : this.#asPipe(link, wish));
    } catch (error) {
      const { asFailure } = await import("../link/remote-failure.ts");
      throw this.#withWayBack(asFailure(error, this.#vault));
    }
  }

  async #onTerminal(link: AttestedLink, wish: ForegroundSession): Promise<number> {
    const end = await this.#interactive
      .run(link, this.#reported(wish.plan))
      .catch(async (error: unknown) => {
        // Nobody sees it any more: for the command a terminal that is closed.
        if (error instanceof BrokenPipe && !this.#isGuest(wish))
          await passOn(link, wish.session, "SIGHUP");
        throw error;
      });
    switch (end.kind) {
      case "exit":
        return finishedStatus(end.exit, this.#context);
      case "left":
        await this.#leave(wish.session);
        return 0;
      case "stopped":
        if (this.#isGuest(wish)) await this.#leave(wish.session);
        else await passOn(link, wish.session, end.signal);
        return stoppedStatus(end.signal);
    }
  }

  async #asPipe(link: AttestedLink, wish: ForegroundSession): Promise<number> {
    const pipe = new Pipe(this.#interactive.plain, link, this.#reported(wish.plan), {
      ...wish,
      isGuest: () => this.#isGuest(wish),
    });
    const end = await pipe.run();
    switch (end.kind) {
      case "exit":
        return finishedStatus(end.exit, this.#context);
      case "stopped":
        if (pipe.sessionId !== undefined) await this.#leave(pipe.sessionId);
        return stoppedStatus(end.signal);
      case "broken-pipe":
        throw end.error;
    }
  }

  #isGuest({ guest, ownId }: ForegroundSession): boolean {
    return guest || (ownId !== undefined && this.#report.session !== ownId);
  }

  #reported(plan: SessionPlan): SessionPlan {
    return { ...plan, report: this.#report };
  }

  async #leave(session: string): Promise<void> {
    if (this.#quiet) return;
    const back = `fly-vault attach ${this.#vault} ${printable(session)}`;
    const said = this.#context.stderr.write(
      `\nleft "${this.#vault}"; the session goes on (${back})\n`,
    );
    // The terminal itself may be what is gone.
    await within(
      said.catch(() => undefined),
      clientLimits.lastWordsMs,
    );
  }

  /** What a command that goes on without us is called, for whoever wants it back. */
  #withWayBack(error: unknown): unknown {
    const { session } = this.#report;
    if (!(error instanceof Failure) || session === undefined) return error;
    const back = `fly-vault attach ${this.#vault} ${session}`;
    const fix = waysBack[error.code]?.(back);
    if (fix === undefined) return error;
    const because = error.because ?? "it did not come back";
    return new Failure(error.code, error.message, { because, fix });
  }
}

const waysBack: Partial<Record<FailureCode, (command: string) => string>> = {
  "FV-NET-003": (command) => `the command goes on; come back to it:  ${command}`,
  "FV-SES-002": (command) => `${command}  takes it back`,
};

/** What ended this client is for the command as well, as on a terminal of its own; nobody waits long for it. */
async function passOn(link: AttestedLink, session: string, signal: StopSignal): Promise<void> {
  const said: SessionSignalRequest = {
    type: "session-signal",
    session,
    signal: signalNumbers[signal],
    to: "program",
  };
  const asked = askOnce(link, said, emptyReplySchema);
  await within(
    asked.catch(() => undefined),
    clientLimits.farewellMs,
  );
}
