import type { Context } from "../../cli/context.ts";
import { encodeInvite } from "../../fly/invite.ts";
import { writePrivateFile } from "../../system/private-file.ts";
import type { VaultEntry } from "./vault-block.ts";

/**
 * The entries as invites, one a line, for `fly-vault add --from`: into a file that its owner alone can
 * read, else once on a terminal. A pipe has the entries themselves.
 */
export async function writeInvites(
  entries: readonly VaultEntry[],
  { file, json }: { readonly file: string | undefined; readonly json: boolean },
  context: Context,
): Promise<void> {
  const lines = entries.map((entry) => `${inviteOf(entry)}\n`).join("");
  if (file !== undefined) {
    await writePrivateFile(file, new TextEncoder().encode(lines));
    await context.stderr.write(
      `invite, with the token in it: ${file} (fly-vault add --from FILE)\n`,
    );
  } else if (context.stdout.isTty && context.stderr.isTty && !json) {
    await context.stderr.write(
      `invite, with the token in it (fly-vault add --from -); it is shown this once:\n${lines}`,
    );
  }
}

function inviteOf({ name, address, org, app, issuer, ...entry }: VaultEntry): string {
  return encodeInvite({
    name,
    address,
    org,
    app,
    issuer,
    machine_id: entry.machineId,
    access_token: entry.accessToken,
    admission_key: entry.admissionKey,
  });
}
