import { RemoteError } from "../../../protocol/errors.ts";
import type { Progress } from "../../../protocol/message.ts";
import type { Log } from "../../../system/log.ts";
import { selfCommand } from "../../../system/self.ts";
import type { DataLayout } from "./data-layout.ts";
import { type DataVolume, holdVolume } from "./data-volume.ts";
import { failpoint } from "./failpoint.ts";
import { runGathered } from "./gathered-unpack.ts";
import { provisionLimits } from "./limits.ts";
import { writeMark } from "./mark.ts";
import { makeRoom } from "./room.ts";
import { emptyTrash } from "./trash.ts";
import { cancelled, type ProgressReport, runUnpack } from "./unpack-process.ts";
import * as trees from "./volume.ts";
import { onVolume } from "./volume-failure.ts";
import type { VolumeFs } from "./volume-fs.ts";

/**
 * All or nothing: the archive is unpacked beside the live tree, checked, brought to disk and marked;
 * then one rename decides. Before it nothing has changed, after it everything has; /root and /home
 * live elsewhere and are not part of it.
 */
export interface StageOptions {
  readonly dataDir: string;
  readonly archive: AsyncIterable<Uint8Array>;
  /** Hex. The archive as it arrives must hash to this. */
  readonly sha256?: string | undefined;
  /** What the sender announced; fewer or more bytes are refused. */
  readonly sizeBytes?: number | undefined;
  readonly onProgress: (progress: Progress) => void;
  readonly signal: AbortSignal;
  readonly log: Log;
  /** The environment children start from (PATH). */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** How long the archive may stand still; `provisionLimits` has the usual time. */
  readonly archiveWaitMs?: number;
  /** The archive is one that has to be put together first: then size and digest are those of its tar stream. */
  readonly delta?: DeltaArchive | undefined;
  /** How to start the unpacking child. */
  readonly unpackCommand?: readonly string[];
  /** The child and the disk; others than the real ones in tests. */
  readonly runUnpack?: typeof runUnpack;
  readonly fs?: VolumeFs;
}

export interface DeltaArchive {
  readonly recipeBytes: number;
  /** What the tree is known by: the client's word. */
  readonly archiveSha256: string;
  readonly onLacking: (pieces: Uint8Array) => void;
}

export interface StagedRootfs {
  readonly sha256: string;
  readonly entries: number;
  readonly writtenBytes: number;
  /** What was left out, by kind. */
  readonly skipped: readonly string[];
  /** Makes it the live tree. The workload must not run meanwhile. Once. */
  readonly activate: () => Promise<void>;
  /** Throws it away; nothing has changed. */
  readonly discard: () => Promise<void>;
}

const busy = new Set<string>();

/** Rejects with `RemoteError`, or with the error of `archive` itself. Then the old tree is as it was. */
export async function stageRootfs(options: StageOptions): Promise<StagedRootfs> {
  const { dataDir, log } = options;
  if (busy.has(dataDir)) {
    throw new RemoteError("busy", "Another provisioning is under way", "Wait for it or cancel it");
  }
  // Outside the try: what lies there may be the work of the init that holds the lock.
  const volume = holdVolume(dataDir, log, options.fs);
  busy.add(dataDir);
  try {
    await onVolume(() => prepare(volume, options));
    return await stage(volume, options);
  } catch (error) {
    // Its room is free again before anybody hears of it: who is told "disk full" tries again at once.
    await clear(volume);
    throw options.signal.aborted ? cancelled() : error;
  }
}

async function stage(volume: DataVolume, options: StageOptions): Promise<StagedRootfs> {
  const { layout } = volume;
  const command = options.unpackCommand ?? selfCommand("init", "unpack");
  const { signal, env = process.env, delta } = options;
  const run = options.runUnpack ?? runUnpack;
  failpoint("unpack");
  const done = await unpack(run, command, layout, options);
  failpoint("digest");
  checkArrival(done, options);
  const sha256 = delta?.archiveSha256 ?? done.sha256;
  const generation = await onVolume(() => String(trees.nextGeneration(volume)));
  const bytes = String(done.written_bytes);
  const sealing = [...command, "seal", layout.dataDir, sha256, generation, bytes];
  failpoint("seal");
  await run({ command: sealing, env, signal });
  failpoint("stop");
  if (signal.aborted) throw cancelled();
  return staged(volume, { ...done, sha256 });
}

async function unpack(
  run: typeof runUnpack,
  command: readonly string[],
  layout: DataLayout,
  options: StageOptions,
): Promise<Unpacked> {
  const { signal, env = process.env, delta, archive } = options;
  const shared = {
    env,
    signal,
    archiveWaitMs: options.archiveWaitMs ?? provisionLimits.archiveWaitMs,
    onProgress: (report: ProgressReport): void => {
      const { phase, received_bytes, entries, written_bytes } = report;
      if (phase === "sync") failpoint("sync");
      const total = options.sizeBytes === undefined ? {} : { total_bytes: options.sizeBytes };
      options.onProgress({ phase, received_bytes, entries, written_bytes, ...total });
    },
  };
  const extracting = [...command, "extract", layout.next, delta === undefined ? "archive" : "tar"];
  const extract = { ...shared, command: confined(extracting) };
  if (delta === undefined) return run({ ...extract, archive });
  const gathering = [...command, "gather", layout.rootfs, String(delta.recipeBytes)];
  const gather = { ...shared, command: confined(gathering), archive, onLacking: delta.onLacking };
  return runGathered({ gather, extract, run });
}

type Unpacked = Awaited<ReturnType<typeof runUnpack>>;

function staged(volume: DataVolume, done: Unpacked): StagedRootfs {
  let open = true;
  const once = (step: () => unknown) => async (): Promise<void> => {
    if (!open) throw new TypeError("This staged root filesystem was activated or discarded before");
    open = false;
    await step();
  };
  return {
    sha256: done.sha256,
    entries: done.entries,
    writtenBytes: done.written_bytes,
    skipped: done.skipped,
    activate: once(() => onVolume(() => switchOver(volume))),
    discard: once(() => clear(volume)),
  };
}

async function switchOver(volume: DataVolume): Promise<void> {
  try {
    failpoint("seed");
    trees.plantSeed(volume);
    failpoint("switch");
    trees.switchTrees(volume);
  } catch (error) {
    await clear(volume);
    throw error;
  }
  try {
    failpoint("keep");
    trees.keepOldTree(volume);
  } catch (error) {
    // The new tree is live and on disk: where the old one lies is no reason not to boot it.
    volume.log("warn", "old-tree-not-kept", { message: String(error) });
  }
  failpoint("record");
  trees.recordState(volume);
  failpoint("boot");
  // Nobody waits for the old tree's deletion: the new one is to boot.
  void clear(volume);
}

/** Goes back to the tree before the last activation. The workload must not run meanwhile. */
export async function restorePrevious(dataDir: string, log: Log, fs?: VolumeFs): Promise<void> {
  await onVolume(() => trees.switchBack(holdVolume(dataDir, log, fs)));
}

/** The live tree has booted and stays: no boot goes back to the one before any more by itself. */
export async function markProven(dataDir: string, log: Log, fs?: VolumeFs): Promise<void> {
  failpoint("prove");
  await onVolume(() => trees.recordProven(holdVolume(dataDir, log, fs)));
}

async function prepare(
  volume: DataVolume,
  { sizeBytes, delta }: Pick<StageOptions, "sizeBytes" | "delta">,
): Promise<void> {
  const { fs, layout } = volume;
  failpoint("stage");
  trees.settle(volume);
  await makeRoom(
    volume,
    delta === undefined ? { archiveBytes: sizeBytes } : { tarBytes: sizeBytes },
  );
  fs.makeFolder(layout.next, 0o700);
  writeMark(fs, layout.next, { state: "staging" });
  fs.syncFolder(layout.dataDir);
}

/** Also after a failure: what is left of staging goes to the trash, which is emptied beside other work. */
async function clear(volume: DataVolume): Promise<void> {
  const { layout, log } = volume;
  busy.delete(layout.dataDir);
  try {
    trees.settle(volume);
    const left = await emptyTrash(volume);
    if (left > 0) log("warn", "trash-not-empty", { left });
  } catch (error) {
    log("warn", "trash-failed", { error: String(error) });
  }
}

/** Without network and with mounts of its own, where we may have that: as root. */
function confined(command: readonly string[]): readonly string[] {
  if (process.geteuid?.() !== 0) return command;
  return ["unshare", "--mount", "--net", "--", ...command];
}

function checkArrival(
  done: { readonly sha256: string; readonly received_bytes: number },
  options: StageOptions,
): void {
  if (options.sizeBytes !== undefined && done.received_bytes !== options.sizeBytes) {
    const message = `${done.received_bytes} bytes arrived, ${options.sizeBytes} were announced`;
    throw new RemoteError("archive-truncated", message, "Send it again");
  }
  if (options.sha256 !== undefined && done.sha256 !== options.sha256.toLowerCase()) {
    throw new RemoteError(
      "digest-mismatch",
      `The archive has SHA-256 ${done.sha256}, expected ${options.sha256}`,
      "Send the file the digest belongs to, or correct the digest",
    );
  }
}
