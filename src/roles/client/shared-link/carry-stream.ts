import { type ByteStream, StreamError } from "../../../protocol/byte-stream.ts";
import { splice } from "../../../system/splice.ts";
import type { SharedStream } from "./shared-stream.ts";

/** Joins a command's stream and the machine's. A lost connection is told as one, not as a reset. */
export async function carryStream(near: SharedStream, far: ByteStream): Promise<void> {
  const noting = async <Value>(work: Promise<Value>): Promise<Value> => {
    try {
      return await work;
    } catch (error) {
      if (error instanceof StreamError && error.kind === "connection-lost") near.lose();
      throw error;
    }
  };
  await splice(near, {
    read: () => noting(far.read()),
    write: (bytes) => noting(far.write(bytes)),
    end: () => noting(far.end()),
    abort: (code) => far.abort(code),
  });
}
