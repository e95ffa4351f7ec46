import { closeSync, ftruncateSync, readSync, writeSync } from "node:fs";
import { cStruct, check, cString, openLibc } from "../system/libc.ts";
import { exportKeyingMaterial } from "./exporter.ts";
import { quicLimits } from "./limits.ts";

/**
 * Where BoringSSL writes the secrets of one handshake, so that we can derive the channel binding:
 * this binding of quiche has no exporter call. Always memory without a name, never a file.
 */
export interface Keylog {
  /** What quiche opens. */
  readonly path: string;
  /** What the finished handshake exports, or null when its secret is missing. */
  exports(): ExportedKeys | null;
  /** Forgets the secrets. Idempotent. */
  close(): void;
}

export interface ExportedKeys {
  /** RFC 9266. */
  readonly channelBinding: Uint8Array;
  /** Authenticates the messages beside QUIC (`loose-message.ts`). */
  readonly addressKey: Uint8Array;
}

export function openKeylog(platform: NodeJS.Platform = process.platform): Keylog {
  return platform === "linux" ? memoryKeylog() : pipeKeylog();
}

function memoryKeylog(): Keylog {
  const { memfd_create } = memfd();
  const fd = check("memfd_create", () => memfd_create(memfdName, closeOnExec));
  return keylog({
    path: `/proc/self/fd/${fd}`,
    read: (into) => readSync(fd, into, 0, into.byteLength, 0),
    close: () => {
      ftruncateSync(fd, 0);
      closeSync(fd);
    },
  });
}

/** For systems without memfd. A pipe holds 16 KiB at least; the log is about 1 KiB. */
function pipeKeylog(): Keylog {
  const { pipe } = pipes();
  const ends = new Int32Array(new ArrayBuffer(8));
  check("pipe", () => pipe(ends));
  const [readEnd = -1, writeEnd = -1] = ends;
  return keylog({
    path: `/dev/fd/${writeEnd}`,
    read: (into) => {
      // A byte of our own, so that the read cannot wait for ever on an empty pipe.
      writeSync(writeEnd, "\n");
      return readSync(readEnd, into, 0, into.byteLength, null);
    },
    close: () => {
      closeSync(readEnd);
      closeSync(writeEnd);
    },
  });
}

function keylog(file: {
  readonly path: string;
  readonly read: (into: Uint8Array) => number;
  readonly close: () => void;
}): Keylog {
  let open = true;
  const text = cStruct(quicLimits.keylogBytesMax);
  return {
    path: file.path,
    exports: () => {
      try {
        const length = file.read(text);
        const secret = exporterSecret(text.subarray(0, length));
        if (secret === null) return null;
        const channelBinding = exportKeyingMaterial(secret, bindingLabel, keyBytes);
        const addressKey = exportKeyingMaterial(secret, addressLabel, keyBytes);
        secret.fill(0);
        return { channelBinding, addressKey };
      } catch {
        return null;
      } finally {
        text.fill(0);
      }
    },
    close: () => {
      if (!open) return;
      open = false;
      file.close();
    },
  };
}

const marker = Buffer.from("EXPORTER_SECRET ", "ascii");

/** The line is `EXPORTER_SECRET <client random, hex> <secret, hex>`. */
function exporterSecret(log: Uint8Array): Buffer | null {
  const bytes = Buffer.from(log.buffer, log.byteOffset, log.byteLength);
  const start = bytes.indexOf(marker);
  if (start === -1) return null;
  const end = bytes.indexOf(0x0a, start);
  if (end === -1) return null;
  const [, , hex = ""] = bytes.toString("ascii", start, end).split(" ");
  const secret = Buffer.from(hex, "hex");
  return secret.byteLength * 2 === hex.length && secret.byteLength > 0 ? secret : null;
}

const bindingLabel = "EXPORTER-Channel-Binding";
const addressLabel = "EXPORTER-fly-vault-address";
const keyBytes = 32;
const memfdName = cString("keys");
const closeOnExec = 1;

const memfd = once(() => openLibc({ memfd_create: { args: ["ptr", "u32"], returns: "i32" } }));
const pipes = once(() =>
  openLibc({
    pipe: { args: ["ptr"], returns: "i32" },
  }),
);

function once<Value>(make: () => Value): () => Value {
  let made: { readonly value: Value } | undefined;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}
