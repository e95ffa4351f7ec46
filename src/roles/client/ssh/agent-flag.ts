import type { Flags } from "../../../cli/command.ts";
import type { Context } from "../../../cli/context.ts";
import type { AttestedLink } from "../link/attested-link.ts";

/** A flag of every command that runs something in a vault. */
export const agentFlag = {
  agent: { short: "A", summary: "let programs there use the keys of this computer's ssh-agent" },
} as const satisfies Flags;

/** What programs there need in their environment. Where the flag was not given, nothing of it is loaded. */
export async function offeredAgent(
  flags: { readonly agent: boolean },
  link: AttestedLink,
  user: string | undefined,
  context: Pick<Context, "env">,
): Promise<Readonly<Record<string, string>>> {
  if (!flags.agent) return {};
  const { offerAgent } = await import("./agent-forward.ts");
  return offerAgent(link, user, context);
}
