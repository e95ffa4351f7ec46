/** Bounds of reading an archive outside the tar format itself (that is tar/limits.ts). */
export const archiveLimits = {
  /** Decompressed bytes per step, and how far the decompressor may run ahead. */
  decodedChunkBytes: 256 * 1024,
  decodedAheadBytes: 1024 * 1024,
  /** Name, comment and extra field of a gzip header together. */
  gzipHeaderBytesMax: 64 * 1024,
  /** A zstd frame makes its reader keep this much. All that `zstd -19` asks for; `--ultra -20` wants 32 MiB. */
  zstdWindowBytesMax: 8 * 1024 * 1024,
};
