import { statSync } from "node:fs";
import { join } from "node:path";
import type { Context } from "../../../cli/context.ts";
import { stateDirectory } from "../../../cli/paths.ts";
import type { AttestedLink } from "../link/attested-link.ts";
import { linkName, linkSecret } from "./link-key.ts";
import { checkLinkFolder, linkFolder } from "./link-place.ts";
import { connectLink, NoSharedLink } from "./link-start.ts";
import { SharedLink } from "./shared-link.ts";
import type { SharingVault } from "./shared-link-choice.ts";

/**
 * The background link that a command to this vault would use, if it stands: nothing is started, dialled
 * or made. It may still be waiting for its connection; whoever has no time puts a limit on this.
 */
export async function openStandingLink(
  vault: Pick<SharingVault, "config" | "tokenName">,
  context: Context,
): Promise<AttestedLink | undefined> {
  const { env } = context;
  const folder = linkFolder(env);
  const secretPath = join(stateDirectory(env), "link-secret");
  const isThere = [folder, secretPath].every((path) => statSync(path, { throwIfNoEntry: false }));
  if (!isThere) return undefined;
  checkLinkFolder(folder);
  const identity = { config: vault.config, transport: undefined, token: await vault.tokenName() };
  const name = linkName(identity, await linkSecret(context), env);
  try {
    return await SharedLink.open({
      vault: vault.config.name,
      verbose: 0,
      connect: async () => {
        const frames = await connectLink(join(folder, name));
        if (frames === undefined) throw new NoSharedLink("none stands");
        return { frames, isNew: false };
      },
      connectSocket: (socket) => connectLink(join(folder, socket)),
      reconnectMs: 0,
      clock: context,
      notice: () => undefined,
    });
  } catch (error) {
    if (error instanceof NoSharedLink) return undefined;
    throw error;
  }
}
