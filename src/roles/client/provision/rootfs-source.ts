import type { Context } from "../../../cli/context.ts";
import { Failure } from "../../../cli/failure.ts";
import { expandPath } from "../../../cli/paths.ts";
import { formatSize } from "../../../cli/size.ts";
import { UsageError } from "../../../cli/usage-error.ts";
import { type FileLook, lookAtRootfs } from "./rootfs-file.ts";
import type { VaultConfig } from "../vault/vault-config.ts";
import { isRootfsUrl } from "../vault/vault-schema.ts";

/** An archive with a root filesystem. `sha256`: any other one is refused. */
export type ArchiveSource =
  | (FileLook & { readonly kind: "file"; readonly path: string; readonly sha256?: string })
  | { readonly kind: "url"; readonly url: string; readonly sha256?: string };

export type RootfsSource = ArchiveSource | { readonly kind: "previous" };

export type RootfsPurpose = "a cold boot" | "--reprovision" | "provision";

/** The one of the configuration; looked at only when one is needed. */
export async function configuredSource(
  config: VaultConfig,
  purpose: RootfsPurpose,
  env: Context["env"],
): Promise<ArchiveSource> {
  const { rootfs, rootfs_url: url, rootfs_sha256: sha256 } = config;
  if (rootfs !== undefined && url !== undefined)
    throw new Failure("FV-CFG-004", `"${config.name}" has both rootfs and rootfs_url`, {
      because: config.path,
      fix: "keep one of them",
    });
  const pin = sha256 === undefined ? {} : { sha256 };
  if (url !== undefined) return { kind: "url", url, ...pin };
  if (rootfs === undefined) throw noSource(config, purpose);
  return { ...(await fileSource(expandPath(rootfs, env, config.folder))), ...pin };
}

/** What `--from` says: an address, else a path as the shell means it. */
export async function namedSource(words: string): Promise<ArchiveSource> {
  if (isRootfsUrl(words)) return { kind: "url", url: words };
  if (/^[a-z][a-z0-9+.-]*:/i.test(words))
    throw new UsageError(
      `--from must be a file, or an http(s) URL without a password in it, not "${words}"`,
    );
  if (words === "") throw new UsageError("--from is empty");
  return fileSource(words);
}

async function fileSource(path: string): Promise<ArchiveSource & { readonly kind: "file" }> {
  return { kind: "file", path, ...(await lookAtRootfs(path)) };
}

function noSource(config: VaultConfig, purpose: RootfsPurpose): Failure {
  const line = `add  rootfs = "~/rootfs.tar.gz"  to [vault.${config.name}]`;
  const fixes = {
    "a cold boot": `give it one:  fly-vault provision ${config.name} --from FILE, or ${line}`,
    provision: `say which:  --from FILE, or ${line}`,
    "--reprovision": line,
  };
  return new Failure(
    purpose === "a cold boot" ? "FV-VM-001" : "FV-CFG-006",
    `"${config.name}" needs a root filesystem for ${purpose}`,
    {
      because: `${config.path} has neither rootfs nor rootfs_url for it`,
      fix: fixes[purpose],
    },
  );
}

export function sourceTitle(source: RootfsSource, vault: string): string {
  switch (source.kind) {
    case "file":
      return `provisioning "${vault}" from ${source.path} (${formatSize(source.sizeBytes)})`;
    case "url":
      return `provisioning "${vault}" from ${source.url}`;
    case "previous":
      return `taking "${vault}" back to its previous root filesystem`;
  }
}
