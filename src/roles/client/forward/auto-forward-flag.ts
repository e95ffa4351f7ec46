import type { Flags } from "../../../cli/command.ts";
import type { Context } from "../../../cli/context.ts";
import type { VaultConfig } from "../vault/vault-config.ts";
import {
  allowsPort,
  type AutoForwardWish,
  autoForwardWishes,
  parsePortPattern,
} from "./auto-forward-rules.ts";
import { type AutoForwardAudience, AutoForwards } from "./auto-forwards.ts";
import type { Forwards } from "./forwards.ts";

/** Of the commands that may forward what begins to listen in the vault. */
export const autoForwardFlag = {
  "auto-forward": {
    value: "WHEN",
    choices: autoForwardWishes,
    summary: "what begins to listen in the vault: on (forward it), notify (tell of it) or off",
  },
} as const satisfies Flags;

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

/** Where no console shows what they do: lines on stderr. */
export function plainAudience(
  { stderr }: Pick<Context, "stderr">,
  session?: string,
): AutoForwardAudience {
  const tell = (line: string): void => void stderr.write(`${line}\n`).catch(() => undefined);
  return { session, escape: undefined, tell };
}
