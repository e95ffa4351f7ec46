import { connectionIdBytes } from "./connection-id.ts";

/**
 * From the destination id of a datagram to its owner. Our own ids are found by a number made of
 * six of their bytes, which is several times faster than making a string for each datagram.
 */
export class RouteTable<Owner> {
  readonly #own = new Map<number, { readonly id: Uint8Array; readonly owner: Owner }>();
  /** Ids that clients chose for their first flight. */
  readonly #foreign = new Map<string, Owner>();

  addOwn(id: Uint8Array, owner: Owner): void {
    this.#own.set(keyAt(id, keyOffset), { id, owner });
  }

  hasOwn(id: Uint8Array): boolean {
    return this.#own.has(keyAt(id, keyOffset));
  }

  removeOwn(id: Uint8Array): void {
    this.#own.delete(keyAt(id, keyOffset));
  }

  addForeign(id: Uint8Array, owner: Owner): void {
    this.#foreign.set(hex(id), owner);
  }

  removeForeign(id: Uint8Array): void {
    this.#foreign.delete(hex(id));
  }

  /** By a short header: the id follows the first byte. */
  findShort(datagram: Uint8Array): Owner | undefined {
    return datagram.byteLength > connectionIdBytes ? this.#findOwn(datagram, 1) : undefined;
  }

  /** By a long header: one byte, the version, the length of the id, the id. */
  findLong(datagram: Uint8Array): Owner | undefined {
    const length = datagram[5];
    if (length === undefined || datagram.byteLength < 6 + length) return undefined;
    const own = length === connectionIdBytes ? this.#findOwn(datagram, 6) : undefined;
    if (own !== undefined || this.#foreign.size === 0) return own;
    return this.#foreign.get(hex(datagram.subarray(6, 6 + length)));
  }

  #findOwn(datagram: Uint8Array, at: number): Owner | undefined {
    const entry = this.#own.get(keyAt(datagram, at + keyOffset));
    if (entry === undefined) return undefined;
    for (let index = 0; index < connectionIdBytes; index++) {
      if (entry.id[index] !== datagram[at + index]) return undefined;
    }
    return entry.owner;
  }
}

/** What stands there is random in ids of every kind. */
const keyOffset = 8;

/** 48 bits fit a JavaScript number exactly. */
function keyAt(bytes: Uint8Array, at: number): number {
  const high = (byte(bytes, at) << 16) | (byte(bytes, at + 1) << 8) | byte(bytes, at + 2);
  const low = (byte(bytes, at + 3) << 16) | (byte(bytes, at + 4) << 8) | byte(bytes, at + 5);
  return high * 0x1000000 + low;
}

const byte = (bytes: Uint8Array, at: number): number => bytes[at] ?? 0;
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
