/** Bounds of looking for a newer version and of taking it. Sizes are bytes, times are milliseconds. */
export const updateLimits = {
  /** SHA256SUMS and its signature: a release has a dozen files. */
  sumsBytesMax: 64 * 1024,
  signatureBytesMax: 4 * 1024,
  sumsLinesMax: 100,
  /** All of a small file, from the first packet on. */
  smallFileMs: 15_000,
  /** An archive, and the executable in it. */
  archiveBytesMax: 256 * 1024 * 1024,
  programBytesMax: 512 * 1024 * 1024,
  archiveMs: 20 * 60_000,
  /** Without a byte for so long, a download is given up. */
  silentMs: 30_000,
  /** Hosts of releases send from one address to another. */
  redirectsMax: 5,
  /** `--version` of the program that came, before it takes our place. */
  tryMs: 30_000,
  /** What a killed update left beside the program is removed after this time. */
  leftoverMs: 60 * 60_000,
} as const;
