import type { Context } from "../../../cli/context.ts";
import type { AttestedLink, LinkState } from "../link/attested-link.ts";
import type { Console, ConsoleEnd } from "./console.ts";
import type { LivePorts } from "../forward/auto-forwards.ts";
import { EscapeKeys, parseEscapeKey } from "./escape-keys.ts";
import type { LiveForwards } from "../forward/forward-line.ts";
import { Keyboard } from "./keyboard.ts";
import type { SessionPlan } from "./session-run.ts";
import type { Vault } from "../link/vault-link.ts";

export interface InteractiveOptions {
  /** `--escape`. */
  readonly escape: string | undefined;
  readonly forwards?: LiveForwards;
  /** For `~P` and `~p`. */
  readonly ports?: LivePorts | undefined;
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
  #linkState: LinkState = { kind: "up" };

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
    const { tokenName, config } = vault;
    if (tokenName === undefined) return { ...vault, accessToken };
    const mayAsk = config.token !== undefined && "command" in config.token;
    const named = async (): Promise<string> => {
      const name = await tokenName();
      if (!mayAsk) this.#readKeys();
      return name;
    };
    return { ...vault, accessToken, tokenName: named };
  }

  /** Until the session ends or is left. */
  async run(link: AttestedLink, plan: SessionPlan): Promise<ConsoleEnd> {
    this.#readKeys();
    // What is on pipes needs none of it.
    const { Console: OnTerminal } = await import("./console.ts");
    const { forwards, ports } = this.#options;
    this.#console = new OnTerminal(this.context, link, plan, {
      keyboard: this.keyboard,
      forwards,
      ports,
    });
    if (this.#linkState.kind === "down") this.#console.linkState(this.#linkState);
    return this.#console.run();
  }

  linkState(state: LinkState): void {
    this.#linkState = state;
    this.#console?.linkState(state);
  }

  /** For a session that turns out to be on pipes: lines are edited again, and no key is an escape. */
  get plain(): Context {
    const { stdin } = this.context;
    stdin.setMode("lines");
    return {
      ...this.context,
      stdin: { ...stdin, isTty: stdin.isTty, read: () => this.keyboard.plain() },
    };
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

  get #without(): ("ports" | "port" | "command")[] {
    const { forwards, ports } = this.#options;
    return [
      ...(forwards === undefined ? ["command" as const] : []),
      ...(ports === undefined ? ["ports" as const, "port" as const] : []),
    ];
  }
}

type StopListener = Parameters<Context["onStop"]>[0];
