import { BrokenPipe } from "./context.ts";
import { Failure } from "./failure.ts";

/** A reader that had enough is no error, as with any other filter; a full disk is. */
export function outputFailure(fd: 1 | 2, error: Error): BrokenPipe | Failure {
  const code = "code" in error ? String(error.code) : "";
  if (readerGone.has(code)) return new BrokenPipe("The reader has gone away");
  const name = fd === 1 ? "standard output" : "standard error";
  return new Failure("FV-SYS-001", `${name} cannot be written`, {
    because: code === "ENOSPC" ? "the disk is full (ENOSPC)" : error.message,
    fix: "what came before is written, the rest is lost; make room and run it again",
  });
}

/** A pipe, a socket, a terminal, a stream that was ended. */
const readerGone: ReadonlySet<string> = new Set([
  "EPIPE",
  "ECONNRESET",
  "EIO",
  "ERR_STREAM_DESTROYED",
]);
