import type { Flags } from "../../../cli/command.ts";
import { UsageError } from "../../../cli/usage-error.ts";
import type { ForwardSpec } from "./forward-spec.ts";
import { checkTogether, readSpec } from "./forwards.ts";
import type { VaultConfig } from "../vault/vault-config.ts";

/** Flags of the commands that forward. */
export const forwardFlags = {
  forward: {
    short: "L",
    value: "SPEC",
    repeatable: true,
    summary: "forward a port: PORT, LOCAL:PORT, LOCAL:HOST:PORT or BIND:LOCAL:HOST:PORT",
  },
  "reverse-forward": {
    short: "R",
    value: "SPEC",
    repeatable: true,
    summary: "the other way: a port of the vault leads here; 0:HOST:PORT takes any free one",
  },
  "dynamic-forward": {
    short: "D",
    value: "SPEC",
    repeatable: true,
    summary: "a SOCKS proxy here into the vault: PORT or BIND:PORT",
  },
  gateway: { summary: "others may connect to forwarded ports; without it only loopback" },
} as const satisfies Flags;

export interface SaidForwards {
  readonly local: readonly string[];
  readonly remote: readonly string[];
  readonly dynamic: readonly string[];
  readonly gateway: boolean;
}

/** Those that were said, else those of the configuration. Throws `UsageError`. */
export function forwardSpecs(said: SaidForwards, config: VaultConfig): ForwardSpec[] {
  const isSaid = said.local.length + said.remote.length + said.dynamic.length > 0;
  const { local, remote, dynamic } = isSaid
    ? said
    : { local: config.forward, remote: config.reverse_forward, dynamic: config.dynamic_forward };
  const { gateway } = said;
  const specs = [
    ...local.map((text) => readSpec("L", text, gateway)),
    ...remote.map((text) => readSpec("R", text, gateway)),
    ...dynamic.map((text) => readSpec("D", text, gateway)),
  ];
  checkTogether(specs);
  return specs;
}

/**
 * The first word may be a spec and the vault left out: a name has no colon and no slash, and is no
 * port either.
 */
export function splitVault(
  first: string | undefined,
  rest: readonly string[],
): { readonly vault: string | undefined; readonly specs: readonly string[] } {
  if (first === undefined) return { vault: undefined, specs: rest };
  const isSpec = /[:/]/.test(first) || /^\d+(-\d+)?$/.test(first);
  return isSpec ? { vault: undefined, specs: [first, ...rest] } : { vault: first, specs: rest };
}

/** Throws `UsageError` where one of them was said beside `flag`. */
export function refuseBeside(flag: string, others: Readonly<Record<string, boolean>>): void {
  for (const [other, isSaid] of Object.entries(others))
    if (isSaid) throw new UsageError(`${flag} and ${other} exclude each other`);
}
