import { createHash, createHmac } from "node:crypto";

/**
 * TLS 1.3 exporter (RFC 8446, 7.5) with an empty context, from the exporter secret. The length of
 * the secret tells the hash of the cipher suite.
 */
export function exportKeyingMaterial(
  exporterSecret: Uint8Array,
  label: string,
  lengthBytes: number,
): Uint8Array {
  const hash = hashByLength.get(exporterSecret.byteLength);
  if (hash === undefined) {
    throw new RangeError(`No TLS 1.3 hash has ${exporterSecret.byteLength} bytes`);
  }
  const emptyHash = createHash(hash).digest();
  const derived = expandLabel(hash, exporterSecret, label, emptyHash, exporterSecret.byteLength);
  return expandLabel(hash, derived, "exporter", emptyHash, lengthBytes);
}

const hashByLength: ReadonlyMap<number, string> = new Map([
  [32, "sha256"],
  [48, "sha384"],
]);

// oxlint-disable-next-line max-params -- the five arguments of HKDF-Expand-Label
function expandLabel(
  hash: string,
  secret: Uint8Array,
  label: string,
  context: Uint8Array,
  lengthBytes: number,
): Uint8Array {
  const name = Buffer.from(`tls13 ${label}`, "ascii");
  const info = Buffer.concat([
    Uint8Array.of(lengthBytes >> 8, lengthBytes & 0xff, name.byteLength),
    name,
    Uint8Array.of(context.byteLength),
    context,
  ]);
  return expand(hash, secret, info, lengthBytes);
}

/** HKDF-Expand (RFC 5869, 2.3). */
function expand(
  hash: string,
  secret: Uint8Array,
  info: Uint8Array,
  lengthBytes: number,
): Uint8Array {
  const blocks: Uint8Array[] = [];
  let previous: Uint8Array = new Uint8Array(0);
  for (let have = 0; have < lengthBytes; have += previous.byteLength) {
    const counter = Uint8Array.of(blocks.length + 1);
    previous = createHmac(hash, secret).update(previous).update(info).update(counter).digest();
    blocks.push(previous);
  }
  return new Uint8Array(Buffer.concat(blocks).subarray(0, lengthBytes));
}
