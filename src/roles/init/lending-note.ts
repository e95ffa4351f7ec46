import { closeSync, fstatSync, ftruncateSync, readSync, writeSync } from "node:fs";
import { memoryFile } from "../../system/process.ts";

/**
 * What keeper and process tell each other about a stream that is lent, in a file without a name: what the keeper had
 * read of it already, behind a byte; and nothing any more once the process has said its first word to the client. So
 * the keeper knows how far a process had got however it ended. Files in memory are read and written in one piece.
 */
export class LendingNote {
  readonly fd: number = memoryFile("lending", { closesOnExec: true });

  constructor(early: Uint8Array) {
    writeSync(this.fd, Buffer.concat([Uint8Array.of(0), early]));
  }

  /** Takes the note away: whether the process has said a word. */
  take(): boolean {
    const { size } = fstatSync(this.fd);
    closeSync(this.fd);
    return size === 0;
  }
}

/** In the process. */
export function readEarly(noteFd: number): Uint8Array {
  const bytes = new Uint8Array(fstatSync(noteFd).size);
  readSync(noteFd, bytes, 0, bytes.length, 0);
  return bytes.subarray(1);
}

/** In the process, before its first word. */
export function noteFirstWord(noteFd: number): void {
  ftruncateSync(noteFd, 0);
}
