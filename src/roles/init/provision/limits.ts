/** Bounds of provisioning outside the tar format itself (that is tar/limits.ts). */
export const provisionLimits = {
  /** Directories whose modes and times wait for the end: what makes the child's memory grow with the archive. */
  directoriesMax: 250_000,
  directoryBytesMax: 8 * 1024 * 1024,
  /** Directory descriptors kept open between entries. */
  openFoldersMax: 64,
  /** Share of the free space and inodes at the start that an archive may use up. */
  freeShareMax: 0.9,
  /** Free space is asked again after so many bytes or files: others write too, and file systems round up. */
  spaceCheckBytes: 64 * 1024 * 1024,
  spaceCheckEntries: 1000,
  /** The disk is told to begin with a file whenever so much of it was written, and at its end with one of some size. */
  writebackBytes: 8 * 1024 * 1024,
  writebackBytesMin: 16 * 1024,

  /** Guess of how large a compressed tree becomes, and the room wanted beyond a tree's expected size. */
  inflationExpected: 4,
  roomFactor: 1.5,
  /** With less free than this no provisioning begins. */
  roomBytesMin: 4 * 1024 * 1024,

  /** How long the old tree is read, how many names, folders in folders, and how much of paths is remembered. */
  surveyMs: 2 * 60_000,
  surveyNamesMax: 2_000_000,
  surveyDepthMax: 256,
  surveyPathBytesMax: 64 * 1024 * 1024,

  progressMs: 200,
  /** Categories of left-out things in a report, and the length of one line of it: the pieces of the largest recipe fit one. */
  skippedKindsMax: 16,
  reportLineBytesMax: 256 * 1024,

  /** No byte of the archive for so long: the sender is gone. */
  archiveWaitMs: 5 * 60_000,

  redirectsMax: 5,
  downloadConnectMs: 30_000,
  downloadIdleMs: 60_000,
  /** Tries without a single new byte: before the first one ever, and later. */
  downloadFirstTriesMax: 2,
  downloadTriesMax: 5,

  /** Names removed per turn of the event loop while an old tree is deleted. */
  removalsPerTurn: 64,
  /** Deeper folders are moved up before they are emptied, so that descriptors stay few. */
  removalDepthMax: 64,
  /** state.json, and the mark on a root folder. */
  stateBytesMax: 64 * 1024,
};

export type ProvisionLimits = typeof provisionLimits;
