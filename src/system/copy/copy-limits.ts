import { limits } from "../../protocol/limits.ts";

/** Bounds of a copy, on either side. Sizes are bytes, times are milliseconds. */
export const copyLimits = {
  /** A file up to this is read when it is announced, so that its digest can be compared; so much of them is kept until it is wanted. */
  smallFileBytesMax: limits.fileWholeBytesMax,
  keptBytesMax: 8 * 1024 * 1024,
  /** From this on a file that was broken off is gone on with. */
  resumeBytesMin: 1024 * 1024,
  /** Another copy at the same file may be one that was broken off and has not noticed yet. */
  takeOverMs: 10_000,
  takeOverLookMs: 20,
  /** From this on only what changed is sent. */
  deltaBytesMin: 128 * 1024,
  /** Files whose chunks are known to the source and which it has not begun. */
  deltasMax: 4,
  /** Folders in folders. */
  foldersOpenMax: 1024,
  /** Names with all that is known of them, remembered between the count and the copy. */
  walkStepsMax: 16 * 1024,
  /** Named folders that stay open for them: each takes a descriptor. */
  walkTreesMax: 256,
  /** Names of one folder are read at once. */
  folderEntriesMax: 1_000_000,
  /** What a glob may lead to. */
  globMatchesMax: 10_000,
  /** Names at the destination that no second source may take. */
  topsRememberedMax: 16 * 1024,
  /** Answers that the other side has not taken: some 10 MB of them. Folders that are refused are not counted by its window. */
  answersWaitingMax: 64 * 1024,
  /** What is hashed in one go, with nothing else done meanwhile. */
  hashStepBytes: 1024 * 1024,
  /** Messages travel together once they are so much; zeros are looked for in pieces of that size. */
  batchBytesMin: 64 * 1024,
  sparsePieceBytes: 64 * 1024,
  /** After so much of a large file the disk is told to begin writing: the last sync is a short one then. */
  syncEveryBytes: 8 * 1024 * 1024,
} as const;
