import { Failure } from "../../cli/failure.ts";
import type { FlyMachine } from "../../fly/machine-shape.ts";
import type { EnvironmentChange } from "./environment-change.ts";
import { checkOneToken, successorKey, successorMark } from "./shared-token.ts";

/** The variable of a machine's configuration that has its access token. */
const accessTokenVariable = "ACCESS_TOKEN";

/** What a tenant's machines are to get. */
export interface TokenRotation {
  readonly token: string;
  readonly change: EnvironmentChange;
  /** A rotation that broke off goes on, with its token. */
  readonly isResumed: boolean;
}

/**
 * Where a rotation broke off, its token, whose entry may be in use by now, goes to the others as well.
 * `given` is a token that was chosen; else `fresh` makes one. Throws `Failure` where the machines' tokens
 * differ for another reason.
 */
export function planRotation(
  machines: readonly FlyMachine[],
  options: { readonly given: string | undefined; readonly fresh: () => string },
): TokenRotation {
  const { given, fresh } = options;
  const holders = machines.map((machine) => ({ machine, token: tokenOf(machine) }));
  const others = holders.filter(({ token }) => token !== given);
  const broken = checkOneToken(others);
  const pending = given === undefined ? broken : undefined;
  const token = given ?? pending?.token ?? fresh();
  const env = { [accessTokenVariable]: token };
  // A token that was chosen may be a weak one, and everybody in the organisation reads metadata.
  const mark = successorMark(pending?.before ?? others[0]?.token ?? "", token);
  const change = given === undefined ? { env, metadata: { [successorKey]: mark } } : { env };
  return { token, change, isResumed: pending !== undefined };
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
