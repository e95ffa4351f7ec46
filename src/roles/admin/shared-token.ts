import { createHmac } from "node:crypto";
import { Failure } from "../../cli/failure.ts";
import type { FlyMachine } from "../../fly/machine-shape.ts";

/** Metadata that shows which token was given in place of which, to those who know both. */
export const successorKey = "fly_vault.token_successor";

export interface TokenHolder {
  readonly machine: FlyMachine;
  readonly token: string;
}

export interface BrokenRotation {
  readonly before: string;
  readonly token: string;
}

/**
 * All machines of a tenant have one token. Where they have two, and the one was given in place of the
 * other, a rotation broke off, which is returned. Any other difference is refused, because a machine can
 * write what it likes into its own metadata, the tenant too: it would get the tenant's token, or its own
 * would be given to all.
 */
export function checkOneToken(holders: readonly TokenHolder[]): BrokenRotation | undefined {
  const tokens = new Set(holders.map(({ token }) => token));
  if (tokens.size <= 1) return undefined;
  const broken = tokens.size === 2 ? brokenOff(holders, [...tokens]) : undefined;
  if (broken === undefined) throw strangers(holders);
  return broken;
}

/** Nobody makes it who does not know both. */
export function successorMark(before: string, token: string): string {
  return createHmac("sha256", before)
    .update(`token successor\n${token}`)
    .digest("hex")
    .slice(0, 32);
}

/** Of two tokens the one that followed the other, as a machine shows that has it. */
function brokenOff(
  holders: readonly TokenHolder[],
  [one = "", two = ""]: readonly string[],
): BrokenRotation | undefined {
  const orders = [
    { before: one, token: two },
    { before: two, token: one },
  ];
  return orders.find(({ before, token }) =>
    holders.some(
      (holder) =>
        holder.token === token &&
        holder.machine.config?.metadata?.[successorKey] === successorMark(before, token),
    ),
  );
}

function strangers(holders: readonly TokenHolder[]): Failure {
  const groups = [...Map.groupBy(holders, ({ token }) => token).values()];
  const words = groups.map((group) => group.map(({ machine }) => machine.id).join(", "));
  return new Failure("FV-ADM-013", "machines of this tenant have different access tokens", {
    because: `apart are ${words.join(" / ")}; one may only claim to be of this tenant; nothing was changed`,
    fix: "take away what is not the tenant's: fly machine destroy ID, or put its metadata right; then try again",
  });
}
