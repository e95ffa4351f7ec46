import type { Context } from "../../../cli/context.ts";
import type { VaultConfig } from "../vault/vault-config.ts";
import type { AutoForwardChoice, AutoForwardsAlone } from "./auto-forward-choice.ts";

/** Of a command that has no other forwards. Undefined where they are off, and then nothing of them is loaded. */
export async function portsBeside(
  choice: AutoForwardChoice,
  config: VaultConfig,
  context: Context,
): Promise<AutoForwardsAlone | undefined> {
  if ((choice.said ?? choice.otherwise) === "off") return undefined;
  const { autoForwardsAlone } = await import("./auto-forward-choice.ts");
  return autoForwardsAlone(choice, config, context);
}
