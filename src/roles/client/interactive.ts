import type { Context } from "../../cli/context.ts";
import type { AttestedLink, LinkState } from "./attested-link.ts";
import { Console, type ConsoleEnd } from "./console.ts";
import { EscapeKeys, parseEscapeKey } from "./escape-keys.ts";
import { finishedStatus, stoppedStatus } from "./exit-status.ts";
import type { LiveForwards } from "./forward-line.ts";
import { Keyboard } from "./keyboard.ts";
import { clientLimits } from "./limits.ts";
import type { SessionPlan } from "./session-run.ts";
import { within } from "../../system/within.ts";
import type { Vault } from "./vault-link.ts";

export interface InteractiveOptions {
  /** `--escape`. */
  readonly escape: string | undefined;
  readonly forwards?: LiveForwards;
  /** Lines for `~P`. */
  readonly ports?: () => readonly string[];
}

/**
 * A command that will join the terminal to a session. Its keys are read from before the first dial, so
 * that `~.` ends it at any stage; what else is typed meanwhile is for the session.
 */
export class Interactive {
  /** Of the command: until there is a session, `~.` stops it as Ctrl-C does. */
  readonly context: Context;
  readonly keyboard: Keyboard;
  readonly #options: InteractiveOptions;
  #console: Console | undefined;

  /** Throws `UsageError` for an escape key that is none. */
  constructor(context: Context, options: InteractiveOptions) {
    const key = parseEscapeKey(options.escape);
    const isTyped = context.stdin.isTty && key !== undefined;
    this.#options = options;
    this.keyboard = new Keyboard(
      context.stdin,
      isTyped ? new EscapeKeys(key, this.#without) : undefined,
    );
    const stops = new Set<StopListener>();
    this.keyboard.onAction = (action) => {
      if (action === "leave") for (const stop of stops) stop("SIGINT");
    };
    const onStop = (listener: StopListener): (() => void) => {
      stops.add(listener);
      const off = context.onStop(listener);
      return () => {
        stops.delete(listener);
        off();
      };
    };
    this.context = { ...context, onStop };
  }

  /** The vault, whose token may have to be asked for on the terminal: the keys are read from then on. */
  watching(vault: Vault): Vault {
    const accessToken = async (): Promise<string> => {
      const token = await vault.accessToken();
      this.#readKeys();
      return token;
    };
    return { ...vault, accessToken };
  }

  /** The status of the session's end; `left` says what there is to say to one who left. */
  async run(link: AttestedLink, plan: SessionPlan, left: string | undefined): Promise<number> {
    this.#readKeys();
    const { forwards, ports } = this.#options;
    this.#console = new Console(this.context, link, plan, {
      keyboard: this.keyboard,
      forwards,
      ports,
    });
    return this.#statusOf(await this.#console.run(), left);
  }

  linkState(state: LinkState): void {
    this.#console?.linkState(state);
  }

  /** Gives the terminal back. */
  close(): void {
    this.context.stdin.setMode("lines");
  }

  #readKeys(): void {
    if (!this.context.stdin.isTty || this.#console !== undefined) return;
    this.context.stdin.setMode("keys");
    this.keyboard.start();
  }

  get #without(): ("ports" | "command")[] {
    const { forwards, ports } = this.#options;
    return [
      ...(forwards === undefined ? ["command" as const] : []),
      ...(ports === undefined ? ["ports" as const] : []),
    ];
  }

  async #statusOf(end: ConsoleEnd, left: string | undefined): Promise<number> {
    switch (end.kind) {
      case "exit":
        return finishedStatus(end.exit, this.context);
      case "stopped":
        return stoppedStatus(end.signal);
      case "left": {
        if (left === undefined) return 0;
        // The terminal may be why they leave.
        const said = this.context.stderr.write(`\n${left}\n`).catch(() => undefined);
        await within(said, clientLimits.lastWordsMs);
        return 0;
      }
    }
  }
}

type StopListener = Parameters<Context["onStop"]>[0];
