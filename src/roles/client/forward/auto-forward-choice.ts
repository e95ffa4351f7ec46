import type { Context } from "../../../cli/context.ts";
import type { VaultConfig } from "../vault/vault-config.ts";
import {
  allowsPort,
  type AutoForwardWish,
  autoForwardWishes,
  parsePortPattern,
} from "./auto-forward-rules.ts";
import { AutoForwards } from "./auto-forwards.ts";
import { Forwards } from "./forwards.ts";

export interface AutoForwardChoice {
  /** `--auto-forward`. */
  readonly said: string | undefined;
  /** Where neither the flag nor the vault says it. */
  readonly otherwise: AutoForwardWish;
  readonly quiet: boolean;
}

/** Undefined where they are off. */
export function autoForwardsOf(
  { said, otherwise, quiet }: AutoForwardChoice,
  config: VaultConfig,
  forwards: Forwards,
  { env }: Pick<Context, "env">,
): AutoForwards | undefined {
  const mode = autoForwardWishes.find((wish) => wish === said) ?? otherwise;
  if (mode === "off") return undefined;
  const texts = config.auto_forward_ports ?? [];
  const patterns = texts.flatMap((text) => parsePortPattern(text) ?? []);
  const allows = (port: number): boolean => allowsPort(patterns, port);
  return new AutoForwards({ mode, forwards, quiet, env, allows });
}

export interface AutoForwardsAlone {
  readonly forwards: Forwards;
  readonly ports: AutoForwards | undefined;
}

/** Those of a command that has no other forwards. */
export async function autoForwardsAlone(
  choice: AutoForwardChoice,
  config: VaultConfig,
  context: Context,
): Promise<AutoForwardsAlone> {
  const note = (line: string): void =>
    void context.stderr.write(`${line}\r\n`).catch(() => undefined);
  const forwards = await Forwards.open([], { vault: config.name, gateway: false, note }, context);
  return { forwards, ports: autoForwardsOf(choice, config, forwards, context) };
}
