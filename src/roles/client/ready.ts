import type { Context } from "../../cli/context.ts";
import { Failure } from "../../cli/failure.ts";
import { Progress } from "../../cli/progress.ts";
import { formatSize } from "../../cli/size.ts";
import type { Link } from "./link.ts";
import { provision, rootfsSource, type RootfsSource } from "./provision.ts";
import type { VaultConfig } from "./vault-config.ts";

export interface ReadyOptions {
  /** Given when the root filesystem is to be replaced even if there is one; was checked before dialling. */
  readonly replaceWith?: RootfsSource | undefined;
  readonly quiet: boolean;
}

/** A machine that is cold gets its root filesystem first; one that has one gets another only on request. */
export async function makeReady(
  link: Link,
  config: VaultConfig,
  options: ReadyOptions,
  context: Context,
): Promise<void> {
  const { vm_state: state } = link.login.status;
  if (state === "ready" && options.replaceWith === undefined) return;
  if (state === "provisioning")
    throw new Failure("FV-NET-004", `"${config.name}" is being provisioned by another client`, {
      fix: "wait until that is done, then try again",
    });
  const source = options.replaceWith ?? (await rootfsSource(config, "a cold boot", context.env));
  const progress = new Progress(context, title(config, source), { quiet: options.quiet });
  await provision(await link.connection(), config, source, progress);
}

function title(config: VaultConfig, source: RootfsSource): string {
  const from =
    source.kind === "url" ? source.url : `${source.path} (${formatSize(source.sizeBytes)})`;
  return `provisioning "${config.name}" from ${from}`;
}
