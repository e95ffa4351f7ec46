import { RemoteError } from "../../protocol/errors.ts";
import type { ProvisionRequest } from "../../protocol/message.ts";
import type { Log } from "../../system/log.ts";
import type { LiveRootfs, NextRootfs } from "./live-rootfs.ts";
import { type Download, openDownload } from "./provision/download.ts";
import { type DeltaArchive, restorePrevious, stageRootfs } from "./provision/provision.ts";
import type { ProvisionCourse, ProvisionResult, ProvisionWork } from "./provision-job.ts";

export interface ProvisionWorkOptions {
  readonly dataDir: string;
  readonly live: LiveRootfs;
  readonly log: Log;
  /** How long an archive may stand still, its client away or not; `provisionLimits` has the usual time. */
  readonly archiveWaitMs?: number;
}

/** What a request asks for, as work: the new tree is made ready while the old one runs, then they change places. */
export function provisionWork(
  { source, sha256 }: ProvisionRequest,
  options: ProvisionWorkOptions,
): ProvisionWork {
  switch (source.kind) {
    case "upload":
      return (course) => {
        const archive = { bytes: course.upload, sizeBytes: source.size_bytes, sha256 };
        return replaceBy(archive, course, options);
      };
    case "delta":
      return (course) => replaceByDelta(source, sha256, course, options);
    case "url":
      return async (course) => {
        const wish = { digestGiven: sha256 !== undefined, signal: course.signal };
        const archive = await openDownload(source.url, wish);
        return replaceBy({ ...archive, sha256 }, course, options);
      };
    case "previous":
      return (course) => goBack(source.instead_of, course, options);
  }
}

/** The machine never sees the archive itself; what is pinned is compared with what the client says it is. */
async function replaceByDelta(
  source: Extract<ProvisionRequest["source"], { readonly kind: "delta" }>,
  pinned: string | undefined,
  course: ProvisionCourse,
  options: ProvisionWorkOptions,
): Promise<ProvisionResult> {
  const { archive_sha256: archiveSha256, recipe_bytes: recipeBytes } = source;
  if (pinned !== undefined && pinned !== archiveSha256)
    throw new RemoteError("digest-mismatch", "The archive is another one than the one pinned");
  const archive = {
    bytes: course.upload,
    sizeBytes: source.tar_bytes,
    sha256: source.tar_sha256,
    delta: { recipeBytes, archiveSha256, onLacking: course.onLacking },
  };
  return replaceBy(archive, course, options);
}

interface ArrivingRootfs extends Download {
  readonly sha256: string | undefined;
  readonly delta?: DeltaArchive;
}

async function replaceBy(
  archive: ArrivingRootfs,
  course: ProvisionCourse,
  { dataDir, live, log, archiveWaitMs }: ProvisionWorkOptions,
): Promise<ProvisionResult> {
  const staged = await stageRootfs({
    dataDir,
    archive: archive.bytes,
    sha256: archive.sha256,
    sizeBytes: archive.sizeBytes,
    delta: archive.delta,
    onProgress: course.onProgress,
    signal: course.signal,
    log,
    env: process.env,
    ...(archiveWaitMs === undefined ? {} : { archiveWaitMs }),
  });
  course.onDecided();
  const { sha256, entries, writtenBytes: written_bytes, skipped } = staged;
  const counts = { received_bytes: 0, entries, written_bytes };
  course.onProgress({ ...counts, phase: "switch" });
  const next = { ...staged, isNew: true };
  await live.change(next, () => course.onProgress({ ...counts, phase: "boot" }));
  return { sha256, entries, written_bytes, skipped };
}

/** Asked again after a restart, or just after the machine did so by itself, it must not lead forth again. */
async function goBack(
  insteadOf: string | undefined,
  course: ProvisionCourse,
  { dataDir, live, log }: ProvisionWorkOptions,
): Promise<ProvisionResult> {
  const isWanted = (): boolean => insteadOf === undefined || insteadOf === live.digest;
  if (isWanted() && !live.hasPrevious)
    throw new RemoteError("not-found", "There is no previous root filesystem to go back to");
  course.onDecided();
  const nothing = { received_bytes: 0, entries: 0, written_bytes: 0 };
  const next: NextRootfs = {
    activate: async () => restorePrevious(dataDir, log),
    discard: async () => {},
    isNew: false,
    isWanted,
  };
  await live.change(next, () => course.onProgress({ ...nothing, phase: "boot" }));
  return { sha256: live.digest, entries: 0, written_bytes: 0, skipped: [] };
}
