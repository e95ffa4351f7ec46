import { createHmac } from "node:crypto";
import { Failure } from "../../cli/failure.ts";
import type { FlyMachine } from "../../fly/machine-shape.ts";
import type { EnvironmentChange } from "./environment-change.ts";

/** The variable of a machine's configuration that has its access token. */
const accessTokenVariable = "ACCESS_TOKEN";
/** Metadata that shows which token was given in place of which, to those who know both. */
const successorKey = "fly_vault.token_successor";

/** What a tenant's machines are to get. */
export interface TokenRotation {
  readonly token: string;
  readonly change: EnvironmentChange;
  /** A rotation that broke off goes on, with its token. */
  readonly isResumed: boolean;
}

/**
 * All machines of a tenant have one token. Where they have two, and the one was given in place of the
 * other, a rotation broke off: then the newer one, whose entry may be in use by now, goes to the others
 * as well. Any other difference is refused, because a machine can write what it likes into its own
 * metadata, the tenant too: it would get the tenant's token, or its own would be given to all. `given`
 * is a token that was chosen; else `fresh` makes one.
 */
export function planRotation(
  machines: readonly FlyMachine[],
  options: { readonly given: string | undefined; readonly fresh: () => string },
): TokenRotation {
  const { given, fresh } = options;
  const [first = "", ...more] = new Set(machines.map(tokenOf).filter((token) => token !== given));
  const broken = more.length === 0 ? undefined : brokenOff(machines, [first, ...more]);
  if (more.length > 0 && broken === undefined) throw strangers(machines);
  const pending = given === undefined ? broken : undefined;
  const token = given ?? pending?.token ?? fresh();
  const env = { [accessTokenVariable]: token };
  // A token that was chosen may be a weak one, and everybody in the organisation reads metadata.
  const mark = successorMark(pending?.before ?? first, token);
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

/** Of two tokens the one that followed the other, as a machine shows that has it. */
function brokenOff(
  machines: readonly FlyMachine[],
  [one = "", two = "", ...more]: readonly string[],
): { readonly before: string; readonly token: string } | undefined {
  if (more.length > 0) return undefined;
  const orders = [
    { before: one, token: two },
    { before: two, token: one },
  ];
  return orders.find(({ before, token }) =>
    machines.some(
      (machine) =>
        tokenOf(machine) === token &&
        machine.config?.metadata?.[successorKey] === successorMark(before, token),
    ),
  );
}

/** Nobody makes it who does not know both. */
function successorMark(before: string, token: string): string {
  return createHmac("sha256", before)
    .update(`token successor\n${token}`)
    .digest("hex")
    .slice(0, 32);
}

function strangers(machines: readonly FlyMachine[]): Failure {
  const groups = [...Map.groupBy(machines, tokenOf).values()];
  const words = groups.map((group) => group.map(({ id }) => id).join(", ")).join(" / ");
  return new Failure("FV-ADM-013", "machines of this tenant have different access tokens", {
    because: `apart are ${words}; one may only claim to be of this tenant; nothing was changed`,
    fix: "take away what is not the tenant's: fly machine destroy ID, or put its metadata right; then try again",
  });
}
