import { connectionIdBytes } from "./connection-id.ts";

/**
 * Linux hands over datagrams that came one after another on one flow as one block (UDP_GRO): all of
 * them of one length but the last, which may be shorter. Bun does not pass on what length that is.
 * But each QUIC packet to us begins with the connection id we chose, 20 bytes that nobody meets by
 * chance: a datagram begins where the id comes again, at every multiple of the one length.
 */
export function datagramBytes(block: Uint8Array): number {
  const idAt = idOffset(block, 0);
  if (idAt === undefined) return block.byteLength;
  const bytes = Buffer.from(block.buffer, block.byteOffset, block.byteLength);
  const id = bytes.subarray(idAt, idAt + connectionIdBytes);
  let at = bytes.indexOf(id, idAt + connectionIdBytes);
  while (at !== -1) {
    const length = headerBefore(bytes, at);
    if (length !== undefined && isEachStart(bytes, id, length)) return length;
    at = bytes.indexOf(id, at + connectionIdBytes);
  }
  return block.byteLength;
}

/** Where the packet begins whose id stands at `at`. */
function headerBefore(bytes: Uint8Array, at: number): number | undefined {
  for (const start of [at - shortIdAt, at - longIdAt]) {
    if (start > 0 && idOffset(bytes, start) === at) return start;
  }
  return undefined;
}

function isEachStart(bytes: Buffer, id: Buffer, length: number): boolean {
  for (let start = length; start < bytes.byteLength; start += length) {
    const at = idOffset(bytes, start);
    if (at === undefined || id.compare(bytes, at, at + connectionIdBytes) !== 0) return false;
  }
  return true;
}

/** Where the id of a packet that begins at `start` stands (RFC 8999, 5); undefined where it has none of our length. */
function idOffset(bytes: Uint8Array, start: number): number | undefined {
  const first = bytes[start] ?? 0;
  if ((first & 0x40) === 0) return undefined;
  const isLong = (first & 0x80) !== 0;
  if (isLong && bytes[start + longIdAt - 1] !== connectionIdBytes) return undefined;
  const at = start + (isLong ? longIdAt : shortIdAt);
  return at + connectionIdBytes <= bytes.byteLength ? at : undefined;
}

const shortIdAt = 1;
/** After the first byte, the version and the length of the id. */
const longIdAt = 6;
