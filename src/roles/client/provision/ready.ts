import type { Context } from "../../../cli/context.ts";
import { Failure } from "../../../cli/failure.ts";
import type { AttestedLink } from "../link/attested-link.ts";
import type { RootfsSource } from "./rootfs-source.ts";
import { warnOfRollback } from "./rollback-warning.ts";
import type { Leaving } from "../link/stop-before.ts";
import type { VaultConfig } from "../vault/vault-config.ts";

export interface ReadyOptions {
  /** Given when the root filesystem is to be replaced even if there is one; was checked before dialling. */
  readonly replaceWith?: RootfsSource | undefined;
  readonly quiet: boolean;
  readonly leaving: Leaving;
}

/** A machine that is cold gets its root filesystem first; one that has one gets another only on request. */
export async function makeReady(
  link: AttestedLink,
  config: VaultConfig,
  options: ReadyOptions,
  context: Context,
): Promise<void> {
  const { replaceWith, quiet, leaving } = options;
  if (!quiet) await warnOfRollback(link, config.name, context);
  const { vm_state: state, runtime } = link.login.status;
  // What another client sends is made ready beside the one that runs, for as long as its line takes.
  const isRunning = runtime === "system-init" || runtime === "fallback-init";
  const isThere = state === "ready" || (state === "provisioning" && isRunning);
  if (isThere && replaceWith === undefined) return;
  if (state === "provisioning")
    throw new Failure("FV-NET-004", `"${config.name}" is being provisioned by another client`, {
      fix: "wait until that is done, then try again",
    });
  // A machine that is warm, as nearly all are, needs none of it.
  const { provision } = await import("./provision.ts");
  const { configuredSource } = await import("./rootfs-source.ts");
  const source = replaceWith ?? (await configuredSource(config, "a cold boot", context.env));
  await provision(link, { vault: config.name, source, quiet, leaving }, context);
}
