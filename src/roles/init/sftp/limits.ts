/** Bounds of the SFTP server; the first two are OpenSSH's own. Sizes are bytes. */
export const sftpLimits = {
  packetBytesMax: 256 * 1024,
  dataBytesMax: 255 * 1024,
  handlesMax: 256,
  /** Names in one answer to a request for more of a folder. */
  listedMax: 100,
} as const;
