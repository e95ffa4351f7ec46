import { type RemoteErrorCode, WireError } from "../../../protocol/errors.ts";
import { hasCode } from "../../../system/filesystem.ts";
import { SystemError } from "../../../system/libc.ts";
import { ArchiveCorrupt, ArchiveFormat } from "../../../system/archive/archive-error.ts";
import { DiskFull } from "./disk-full.ts";
import { GatherRefusal } from "./gather/gather-refusal.ts";
import type { Report } from "./report.ts";
import { type TarReason, TarRefusal } from "../../../system/archive/tar/refusal.ts";

type Refused = Extract<Report, { readonly type: "refused" }>;

/** What went wrong while unpacking, as the code, the sentence and the advice a person gets. */
export function refusalReport(error: unknown): Refused {
  const { code, hint } = judge(error);
  const message = sentence(error);
  return { type: "refused", code, message, ...(hint === undefined ? {} : { hint }) };
}

interface Judgement {
  readonly code: RemoteErrorCode;
  readonly hint?: string | undefined;
}

const freeHint = "Free space on the volume or extend it, then provision again";

function judge(error: unknown): Judgement {
  if (error instanceof TarRefusal) {
    const code = error.reason === "E_TRUNCATED" ? "archive-truncated" : "archive-refused";
    return { code, hint: tarHints[error.reason] };
  }
  if (error instanceof ArchiveFormat) return { code: "archive-format", hint: error.hint };
  if (error instanceof ArchiveCorrupt) return { code: "archive-truncated", hint: transferHint };
  if (error instanceof GatherRefusal) return { code: error.code };
  if (error instanceof WireError) return { code: "bad-request" };
  if (error instanceof DiskFull) return { code: "disk-full", hint: freeHint };
  if (hasCode(error, "ENOSPC", "EDQUOT")) return { code: "disk-full", hint: freeHint };
  return { code: "internal" };
}

function sentence(error: unknown): string {
  if (error instanceof TarRefusal) {
    const entry = error.entry === undefined ? "" : `${error.entry}: `;
    return `${entry}${error.message} (${error.reason})`;
  }
  if (error instanceof SystemError) return `The volume failed: ${error.message}`;
  return error instanceof Error ? error.message : String(error);
}

const transferHint = "Check the file on your side (gzip -t, zstd -t) and send it again";

const tarHints: Readonly<Partial<Record<TarReason, string>>> = {
  E_TRUNCATED: "Check the file on your side (tar -tf) and send it again",
  E_SPARSE: "Pack the tree again with GNU tar or bsdtar, or without --sparse",
  E_LAYER_TAR: "Flatten the image first: docker export, not docker save",
  E_LAYOUT: "Send the whole tree of a distribution, with /bin/sh or /sbin/init at its top",
  E_DUPLICATE: "Pack the tree again in one go, without --append",
  E_META_MIX: "Pack the tree again with one tar program",
};
