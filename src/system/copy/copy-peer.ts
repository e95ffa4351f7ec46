import type { FileMessage, FileOutcome, FileTrouble } from "../../protocol/file-message.ts";

/**
 * One side of a copy without its stream: whoever has the stream gives it what came, and sends what it
 * gives. On the machine that is a loop of blocking calls, on the client one that waits.
 */
export interface CopyPeer {
  /** Throws `WireError` or `ProtocolError` for what the other side must not say. Content is lent until it returns, or is drained. */
  receive(message: FileMessage): void;
  /** The next message, good until the next is asked for, "working" when it should be asked again soon, undefined until something is received. */
  next(): FileMessage | "working" | undefined;
  /** Where what was received goes on to somebody slow: no more is read before. Rejects when they are gone. */
  drained?(): Promise<void>;
  /** Nothing is left to say or to hear. */
  readonly over: boolean;
  /** Lets go of all it has open. What can be gone on with stays. */
  close(): void;
}

/** What the side with a user tells of. */
export interface CopyObserver {
  total(files: number, bytes: number): void;
  /** Its content is on the way now, from `offset` on; what is before was there. */
  began(path: string, size: number, offset: number): void;
  /** So many bytes further in the file at hand, of which so many came over the network. */
  advanced(bytes: number, sentBytes: number): void;
  /** A file or link is settled; with the digest where content was on the way. */
  settled(path: string, size: number, outcome: FileOutcome, sha256: Uint8Array | undefined): void;
  failed(path: string, code: FileTrouble, message: string): void;
}

export const nobody: CopyObserver = {
  total: () => undefined,
  began: () => undefined,
  advanced: () => undefined,
  settled: () => undefined,
  failed: () => undefined,
};
