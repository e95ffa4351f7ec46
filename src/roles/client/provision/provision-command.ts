import { defineCommand } from "../../../cli/command.ts";
import type { Context } from "../../../cli/context.ts";
import { jsonResult } from "../../../cli/json-document.ts";
import { UsageError } from "../../../cli/usage-error.ts";
import type { PackedSource } from "./packed-source.ts";
import { limits } from "../../../protocol/limits.ts";
import type { Provisioned } from "../../../protocol/message.ts";
import { printableLine } from "../../../protocol/printable-line.ts";
import { clientLimits } from "../limits.ts";
import { overVault, type VaultWork } from "../link/over-vault.ts";
import { provision, type ProvisionOutcome } from "./provision.ts";
import { warnOfRollback } from "./rollback-warning.ts";
import { configuredSource, namedSource, type RootfsSource } from "./rootfs-source.ts";
import type { VaultConfig } from "../vault/vault-config.ts";
import { untilStopped } from "../build/until-stopped.ts";
import { linkFlags, readVault, vaultPositional } from "../link/vault-link.ts";

export const provisionCommand = defineCommand({
  name: "provision",
  summary: "Replace the root filesystem of a vault, or go back to the one before",
  positionals: { vault: vaultPositional },
  flags: {
    from: {
      value: "FILE|URL|dir:PATH",
      summary: "the archive, or a folder to pack (default: rootfs or rootfs_url of the vault)",
    },
    sha256: { value: "HEX", summary: "refuse any other archive" },
    whole: { summary: "send all of a file, not only what the machine lacks of it" },
    rollback: { summary: "go back to the previous root filesystem" },
    json: { summary: "print the result as JSON" },
    ...linkFlags,
  },
  description:
    "Of a file the machine is sent what it lacks: contents that its root filesystem has already are taken from there (--whole sends all of it). A URL is fetched by the machine itself. The new root filesystem is made ready while the old one runs; then sessions end and it is booted. If it does not boot, or its init dies within half a minute, the machine goes back by itself. /root and /home stay. An upload goes on where it stood when the link was lost (--reconnect, 5m). Ctrl-C leaves everything as it was.",
  examples: [
    "fly-vault provision my-dev --from rootfs.tar.zst",
    "fly-vault provision my-dev --from https://example.com/rootfs.tar.zst --sha256 HEX",
    "fly-vault provision my-dev --rollback",
  ],
  exitStatus:
    "0 the machine runs it; 1 archive refused, disk full, wrong digest or not booted, all as before; 3 no such file, nothing to go back to; 6 no answer or busy; 130 cancelled; 255 link lost for good",
  seeAlso: ["fly-vault build", "fly-vault help config"],
  run: async ({ flags, positionals, global }, context) => {
    const wish = wishOf(flags);
    const { quiet } = global;
    const vault = await readVault(positionals.vault, { flags, global }, context);
    let made: PackedSource | undefined;
    const stopped = await untilStopped(context, async (signal) => {
      // Packing is node:zlib and more, of which other commands know nothing.
      const { packedSource } = await import("./packed-source.ts");
      made = await packedSource(wish.from, { quiet, signal }, context);
      return 0;
    });
    if (made === undefined) return stopped;
    await using packed = made;
    const source = await sourceOf({ ...wish, from: packed.from }, vault.config, context);
    const work = async ({ link, config, leaving }: VaultWork): Promise<number> => {
      if (!quiet) await warnOfRollback(link, config.name, context);
      const options = { vault: config.name, source, whole: flags.whole, quiet, leaving };
      const outcome = await provision(link, options, context);
      const archiveBytes = source.kind === "file" ? source.sizeBytes : undefined;
      if (flags.json)
        await context.stdout.write(jsonResult("provision", resultData(outcome, archiveBytes)));
      else if (!quiet) await context.stderr.write(leftOut(outcome.done));
      return 0;
    };
    const reconnectMs = clientLimits.provisionReconnectMs;
    const isBulk = source.kind === "file" && source.sizeBytes >= clientLimits.bulkBytesMin;
    return await overVault(vault, { flags, global, reconnectMs, isBulk }, context, work);
  },
});

interface Wish {
  readonly from: string | undefined;
  readonly sha256: string | undefined;
  readonly rollback: boolean;
}

function wishOf({ from, sha256, rollback, whole }: Wish & { readonly whole: boolean }): Wish {
  if (rollback && from !== undefined) throw new UsageError("--rollback takes no --from");
  if (rollback && whole) throw new UsageError("--rollback takes no --whole");
  if (rollback && sha256 !== undefined) throw new UsageError("--rollback takes no --sha256");
  if (sha256 !== undefined && !/^[0-9a-f]{64}$/i.test(sha256))
    throw new UsageError(`--sha256 must be 64 hexadecimal digits, not "${sha256}"`);
  return { from, sha256: sha256?.toLowerCase(), rollback };
}

/** `rootfs_sha256` is about the archive of the configuration, not about another one. */
async function sourceOf(wish: Wish, config: VaultConfig, context: Context): Promise<RootfsSource> {
  if (wish.rollback) return { kind: "previous" };
  const source =
    wish.from === undefined
      ? await configuredSource(config, "provision", context.env)
      : await namedSource(wish.from);
  return wish.sha256 === undefined ? source : { ...source, sha256: wish.sha256 };
}

function resultData({ done, sentBytes }: ProvisionOutcome, archiveBytes: number | undefined) {
  const { sha256, entries, written_bytes, skipped } = done;
  return {
    sha256: sha256 ?? null,
    entries,
    written_bytes,
    sent_bytes: sentBytes ?? null,
    archive_bytes: archiveBytes ?? null,
    skipped,
  };
}

/** Names in an archive are anybody's choice. */
function leftOut({ skipped }: Provisioned): string {
  return skipped
    .map((line) => `left out: ${printableLine(line, limits.messageBytesMax)}\n`)
    .join("");
}
