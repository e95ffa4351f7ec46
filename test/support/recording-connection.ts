import type { ByteStream } from "../../src/protocol/byte-stream.ts";
import type { Connection } from "../../src/quic/connection.ts";

/** Everything one end said over a connection, as it said it, before encryption. */
export interface Recording {
  readonly connection: Connection;
  /** All bytes written to streams, and the words given to `close`. */
  sent: () => Uint8Array;
  /** Streams opened. */
  opened: () => number;
  closes: () => readonly string[];
}

export function recorded(connection: Connection): Recording {
  const chunks: Uint8Array[] = [];
  const closes: string[] = [];
  let opened = 0;
  const recordingStream = (stream: ByteStream): ByteStream => ({
    read: () => stream.read(),
    write: (bytes) => {
      chunks.push(bytes.slice());
      return stream.write(bytes);
    },
    end: () => stream.end(),
    abort: (code) => {
      stream.abort(code);
    },
  });
  const recording = new Proxy(connection, {
    get(target, name) {
      if (name === "openStream")
        return async () => {
          opened += 1;
          return recordingStream(await target.openStream());
        };
      if (name === "close")
        return (code: number, reason: string) => {
          closes.push(reason);
          target.close(code, reason);
        };
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
  return {
    connection: recording,
    sent: () => new Uint8Array(Buffer.concat([...chunks, Buffer.from(closes.join(""))])),
    opened: () => opened,
    closes: () => closes,
  };
}
