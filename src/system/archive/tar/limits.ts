/** Bounds of the tar reader: the first group is the file system's or the format's, the second we chose. */
export const tarLimits = {
  blockBytes: 512,
  /** PATH_MAX and NAME_MAX of Linux. */
  pathBytesMax: 4096,
  componentBytesMax: 255,
  /** symlink(2) counts the terminating zero in. */
  linkBytesMax: 4095,
  /** uid_t and gid_t without (uid_t) -1, which chown takes for "leave as it is". */
  idMax: 2 ** 32 - 2,
  xattrNameBytesMax: 255,
  xattrValueBytesMax: 64 * 1024,

  entriesMax: 2_000_000,
  depthMax: 256,
  /** One PAX header or GNU long name, and how many may stand before one entry. */
  metaBytesMax: 1024 * 1024,
  metaInRowMax: 8,
  xattrsMax: 64,
  /** Stretches of data in one sparse file: its map is held until the file is written. */
  sparseSegmentsMax: 20_000,
  /** Times are brought into this range (the year 2242), so that no file system wraps them around. */
  mtimeSecondsMax: 2 ** 33,
  /** Sum of all file sizes; the free space of the disk is a second, nearly always tighter bound. */
  expandedBytesMax: 2 ** 40,
};

export type TarLimits = typeof tarLimits;
