import type { Flags } from "../../../cli/command.ts";
import type { Context } from "../../../cli/context.ts";
import { within } from "../../../system/within.ts";
import { ForwardControl } from "./forward-control.ts";
import { forwardFlags, forwardSpecs, refuseBeside } from "./forward-flags.ts";
import type { ForwardEnd } from "./forward-spec.ts";
import { Forwards } from "./forwards.ts";
import { clientLimits } from "../limits.ts";
import type { VaultWork } from "../link/over-vault.ts";
import { readTarget } from "./stdio-forward.ts";
import type { VaultConfig } from "../vault/vault-config.ts";

/** The flags of `connect` that are about forwards. */
export const connectForwardFlags = {
  ...forwardFlags,
  "stdio-forward": {
    short: "W",
    value: "HOST:PORT",
    summary: "join standard input and output to a connection there, and nothing else",
  },
  "control-socket": {
    value: "PATH",
    summary: "answer HTTP here: run commands, list sessions, change forwards",
  },
} as const satisfies Flags;

export interface ConnectForwardValues {
  readonly forward: readonly string[];
  readonly "reverse-forward": readonly string[];
  readonly "dynamic-forward": readonly string[];
  readonly gateway: boolean;
  readonly "stdio-forward": string | undefined;
  readonly "control-socket": string | undefined;
  readonly "no-shell": boolean;
  readonly reprovision: boolean;
}

/** `-W`; undefined where it was not said. Throws `UsageError`. */
export function stdioTargetOf(flags: ConnectForwardValues): ForwardEnd | undefined {
  const text = flags["stdio-forward"];
  if (text === undefined) return undefined;
  refuseBeside("-W", {
    "-N": flags["no-shell"],
    "-L": flags.forward.length > 0,
    "-R": flags["reverse-forward"].length > 0,
    "-D": flags["dynamic-forward"].length > 0,
    "--control-socket": flags["control-socket"] !== undefined,
    "--reprovision": flags.reprovision,
  });
  return readTarget(text);
}

/** The forwards beside a console, and what answers for them. */
export class ConnectForwards {
  readonly forwards: Forwards;
  readonly #socketPath: string | undefined;
  readonly #vault: string;
  readonly #context: Context;
  readonly #control = new ForwardControl();

  /** Binds every local port before anything is sent. Rejects with `UsageError` or `Failure`. */
  static async open(
    flags: ConnectForwardValues,
    config: VaultConfig,
    context: Context,
  ): Promise<ConnectForwards> {
    const { gateway } = flags;
    const said = {
      local: flags.forward,
      remote: flags["reverse-forward"],
      dynamic: flags["dynamic-forward"],
      gateway,
    };
    // The terminal may be raw by then.
    const note = (line: string): void =>
      void context.stderr.write(`${line}\r\n`).catch(() => undefined);
    const options = { vault: config.name, gateway, note };
    const forwards = await Forwards.open(forwardSpecs(said, config), options, context);
    return new ConnectForwards(forwards, flags["control-socket"], config.name, context);
  }

  private constructor(
    forwards: Forwards,
    socketPath: string | undefined,
    vault: string,
    context: Context,
  ) {
    this.forwards = forwards;
    this.#socketPath = socketPath;
    this.#vault = vault;
    this.#context = context;
  }

  /** Resolves when all that can listen does. */
  async start({ link, leaving }: VaultWork): Promise<void> {
    const [forwards, vault, context] = [this.forwards, this.#vault, this.#context];
    forwards.use(link);
    leaving(async () => forwards.close());
    // Only then is it known which port the vault chose, and what it refused.
    await within(forwards.refusals(), clientLimits.replyMs);
    if (this.#socketPath !== undefined)
      await this.#control.listen(this.#socketPath, { vault, forwards, link, context });
    const register = async () => this.#control.register("connect", { vault, forwards }, context);
    // The shell comes first.
    setTimeout(() => void register(), clientLimits.registerAfterMs).unref();
  }

  /** Closes them whatever happens: while the link stands where it can be, so that the vault is told. */
  async during(
    work: (given: VaultWork) => Promise<number>,
    run: (closing: typeof work) => Promise<number>,
  ): Promise<number> {
    try {
      return await run(async (given) => {
        try {
          return await work(given);
        } finally {
          await this.#close();
        }
      });
    } finally {
      await this.#close();
    }
  }

  async #close(): Promise<void> {
    this.#control.close();
    await this.forwards.close();
  }
}
