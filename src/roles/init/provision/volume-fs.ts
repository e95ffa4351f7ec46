/**
 * All that provisioning and repair ask of the volume: one seam, so that a test can put a disk there
 * that fills up, fails or loses its power at any of these steps. `linuxVolumeFs` is the real one.
 * Paths are absolute; what goes wrong is an error with the name of the errno as its `code`.
 */
export interface VolumeFs {
  /** The name itself counts: a link that leads nowhere is there. */
  exists(path: string): boolean;
  freeBytes(folder: string): number;
  /** Undefined where there is no such folder (a link is none), empty where it has no mark. */
  readMark(folder: string): string | undefined;
  /** Undefined where there is no such file, or only a longer one. */
  readFile(path: string, bytesMax: number): string | undefined;

  /** Where there is one already, nothing happens. */
  makeFolder(path: string, mode: number): void;
  /** One step, for other processes and for a power cut. "free" refuses where there is a `to`. */
  rename(from: string, to: string, onto: RenameOnto): void;
  writeMark(folder: string, value: string): void;
  /** Replaces the content and brings it to disk; that the file has this name takes `syncFolder`. */
  writeFile(path: string, text: string): void;
  /** With owners, modes, times, links and attributes; follows no link below `from`. */
  copyTree(from: string, to: string): Promise<void>;
  /** How many names could not be removed. */
  emptyFolder(path: string): Promise<number>;

  /** Brings a folder's mark and the names in it to disk, not what they stand for. */
  syncFolder(path: string): void;
  /** Brings everything to disk. Blocks for as long as the disk needs. */
  syncAll(folder: string): void;
  /** False where another process has it. Else it is ours until this process ends. */
  lock(path: string): boolean;
}

export type RenameOnto = "free" | "replace" | "exchange";
