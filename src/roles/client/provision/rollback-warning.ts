import type { Context } from "../../../cli/context.ts";
import { limits } from "../../../protocol/limits.ts";
import { printableLine } from "../../../protocol/printable-line.ts";
import type { AttestedLink } from "../link/attested-link.ts";

/** A machine that went back by itself says so until it is provisioned again: what one works in is not what one sent. */
export async function warnOfRollback(
  link: AttestedLink,
  vault: string,
  context: Context,
): Promise<void> {
  const rollback = link.login.status.rolled_back;
  if (rollback === undefined) return;
  const { sha256, because } = rollback;
  const which = sha256 === undefined ? "" : ` (sha256 ${sha256.slice(0, 12)}…)`;
  const line = `"${vault}" went back to its previous root filesystem; the new one${which} did not stay up: ${because}`;
  await context.stderr.write(`warning: ${printableLine(line, limits.messageBytesMax)}\n`);
}
