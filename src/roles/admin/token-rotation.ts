import { Failure } from "../../cli/failure.ts";
import type { FlyMachine } from "../../fly/machine-shape.ts";
import type { EnvironmentChange } from "./environment-change.ts";

/** The variable of a machine's configuration that has its access token. */
const accessTokenVariable = "ACCESS_TOKEN";
/** Metadata that counts how often the token was changed. Anybody in the organisation may read it. */
const generationKey = "fly_vault.token_generation";

/** What a tenant's machines are to get. */
export interface TokenRotation {
  readonly token: string;
  readonly change: EnvironmentChange;
  /** A rotation that broke off goes on, with its token. */
  readonly isResumed: boolean;
}

/**
 * All machines of a tenant have one token. Where they have several, a rotation broke off: then the
 * newest of them, whose entry may be in use by now, goes to the others as well. `given` is a token that
 * was chosen; else `fresh` makes one.
 */
export function planRotation(
  machines: readonly FlyMachine[],
  options: { readonly given: string | undefined; readonly fresh: () => string },
): TokenRotation {
  const newest = Math.max(...machines.map(generationOf));
  const tokens = new Set(machines.map(tokenOf));
  const latest = machines.find((machine) => generationOf(machine) === newest);
  const broken = tokens.size > 1 && newest > 0 && latest !== undefined;
  const pending = options.given === undefined && broken ? tokenOf(latest) : undefined;
  const token = options.given ?? pending ?? options.fresh();
  const generation = pending === undefined ? newest + 1 : newest;
  return {
    token,
    change: {
      env: { [accessTokenVariable]: token },
      metadata: { [generationKey]: String(generation) },
    },
    isResumed: pending !== undefined,
  };
}

/** Another rotation at the same time has another token, which is not to be replaced unseen. */
export function tokenBefore(machine: FlyMachine): Record<string, string | undefined> {
  return { [accessTokenVariable]: machine.config?.env?.[accessTokenVariable] };
}

/** Whether the token that is to go stands elsewhere in the configuration, too. */
export function keepsToken(machine: FlyMachine): boolean {
  const { [accessTokenVariable]: token = "", ...env } = machine.config?.env ?? {};
  return token !== "" && JSON.stringify({ ...machine.config, env }).includes(token);
}

/** Throws `Failure` where there is none to be changed. */
function tokenOf(machine: FlyMachine): string {
  const token = machine.config?.env?.[accessTokenVariable];
  if (token !== undefined && token !== "") return token;
  const because =
    machine.config === null || machine.config === undefined
      ? "the machine's host does not answer"
      : `its environment has no ${accessTokenVariable}, so its template puts the token elsewhere`;
  throw new Failure("FV-CLI-001", `machine ${machine.id} has no token that could be changed`, {
    because: `${because}; nothing was changed`,
  });
}

function generationOf(machine: FlyMachine): number {
  const text = machine.config?.metadata?.[generationKey] ?? "";
  return /^\d{1,9}$/u.test(text) ? Number(text) : 0;
}
