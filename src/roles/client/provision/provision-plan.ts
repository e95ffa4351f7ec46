import { Failure } from "../../../cli/failure.ts";
import type { ProvisionRequest, Status } from "../../../protocol/message.ts";
import { clientLimits } from "../limits.ts";
import type { ProvisionPlan } from "./provision-run.ts";
import type { RootfsFile } from "./rootfs-file.ts";
import type { RootfsSource } from "./rootfs-source.ts";
import { WholeUpload } from "./rootfs-upload.ts";

type FileSource = Extract<RootfsSource, { readonly kind: "file" }>;

/** `id`: of its own. `liveSha256`: what the machine runs now, so that going back twice is going back once. */
export function wholePlan(
  source: RootfsSource,
  file: RootfsFile | undefined,
  { id, liveSha256 }: { readonly id: string; readonly liveSha256: string | undefined },
): ProvisionPlan {
  const request = { type: "provision", id, source: wholeSource(source, liveSha256) } as const;
  if (source.kind === "previous") return { request };
  const pinned = { ...request, ...pinOf(source) };
  if (source.kind === "url" || file === undefined) return { request: pinned };
  return { request: pinned, upload: new WholeUpload(file, source) };
}

function wholeSource(
  source: RootfsSource,
  liveSha256: string | undefined,
): ProvisionRequest["source"] {
  switch (source.kind) {
    case "previous":
      return { kind: "previous", ...(liveSha256 === undefined ? {} : { instead_of: liveSha256 }) };
    case "url":
      return { kind: "url", url: source.url };
    case "file":
      return { kind: "upload", size_bytes: source.sizeBytes };
  }
}

function pinOf({ sha256 }: { readonly sha256?: string }): { readonly sha256?: string } {
  return sha256 === undefined ? {} : { sha256 };
}

/** Whether it is worth to look for what the machine has already. */
export function mayBeDelta(source: RootfsSource, status: Status): source is FileSource {
  if (source.kind !== "file" || source.sizeBytes < clientLimits.deltaBytesMin) return false;
  return status.vm_state === "ready" && status.rootfs_sha256 !== undefined;
}

export interface DeltaOptions {
  readonly id: string;
  /** So much of the archive was read. Throws to end it. */
  readonly onRead: (bytes: number) => void;
}

/** Reads the archive from one end to the other; undefined where it has to be sent as a whole. Rejects with `Failure`. */
export async function deltaPlan(
  source: FileSource,
  file: RootfsFile,
  { id, onRead }: DeltaOptions,
): Promise<ProvisionPlan | undefined> {
  // Both are node:zlib and more, of which other commands know nothing.
  const { describeArchive } = await import("./archive-description.ts");
  const { DeltaUpload } = await import("./delta-upload.ts");
  const whole = new WholeUpload(file, source);
  const described = await describeArchive(watched(whole.content(0), onRead));
  if (described === undefined) return undefined;
  const { sha256, tarSha256, recipe } = described;
  if (source.sha256 !== undefined && source.sha256 !== sha256) throw wrongDigest(sha256, source);
  const request: ProvisionRequest = {
    type: "provision",
    id,
    source: {
      kind: "delta",
      archive_sha256: sha256,
      tar_sha256: tarSha256,
      tar_bytes: recipe.tarBytes,
      recipe_bytes: recipe.bytes.length,
    },
    ...pinOf(source),
  };
  return {
    request,
    upload: new DeltaUpload({ bytes: (at) => whole.content(at) }, recipe, source.sizeBytes),
  };
}

async function* watched(
  archive: AsyncIterable<Uint8Array>,
  onRead: (bytes: number) => void,
): AsyncGenerator<Uint8Array> {
  let bytes = 0;
  for await (const chunk of archive) {
    bytes += chunk.length;
    onRead(bytes);
    yield chunk;
  }
}

function wrongDigest(sha256: string, { path, sha256: pinned }: FileSource): Failure {
  return new Failure("FV-PROV-005", "the archive is not the one whose digest was given", {
    because: `"${path}" has SHA-256 ${sha256}, expected ${pinned}`,
    fix: "compare with  sha256sum FILE;  the old rootfs is untouched",
  });
}
