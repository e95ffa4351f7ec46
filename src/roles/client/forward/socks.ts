import { addressText } from "../../../system/ip-address.ts";

/** Where a SOCKS client wants to go. Names are resolved in the vault. */
export interface SocksTarget {
  readonly host: string;
  readonly port: number;
}

export type SocksStep =
  /** More bytes are needed. */
  | { readonly kind: "wait" }
  /** To be sent; then go on. */
  | { readonly kind: "send"; readonly bytes: Uint8Array }
  | { readonly kind: "connect"; readonly target: SocksTarget }
  /** To be sent, and the connection ended. */
  | { readonly kind: "refuse"; readonly bytes: Uint8Array; readonly because: string };

export type SocksOutcome = "connected" | "refused" | "unreachable" | "failed";

/**
 * The machine's half of SOCKS 5 (RFC 1928, CONNECT without authentication) and SOCKS 4 and 4a, up to
 * the word that the connection stands: bytes in any slices in, steps out.
 */
export class SocksHandshake {
  #bytes = new Uint8Array(0);
  #version: 4 | 5 | undefined;
  #isGreeted = false;

  push(slice: Uint8Array): void {
    const joined = new Uint8Array(this.#bytes.length + slice.length);
    joined.set(this.#bytes);
    joined.set(slice, this.#bytes.length);
    this.#bytes = joined;
  }

  get length(): number {
    return this.#bytes.length;
  }

  /** What came behind the request, for the target. */
  get rest(): Uint8Array {
    return this.#bytes;
  }

  next(): SocksStep {
    const [version] = this.#bytes;
    if (version === undefined) return wait;
    if (version === 5) return this.#isGreeted ? this.#request5() : this.#greeting();
    if (version === 4 && !this.#isGreeted) return this.#request4();
    return refuse(new Uint8Array(0), "it does not speak SOCKS 4 or 5");
  }

  /** The last word of the handshake. */
  reply(outcome: SocksOutcome): Uint8Array {
    return this.#version === 4 ? reply4(outcome === "connected") : reply5(replyCodes[outcome]);
  }

  #greeting(): SocksStep {
    const methodsEnd = 2 + (this.#bytes[1] ?? 0);
    if (this.#bytes.length < 2 || this.#bytes.length < methodsEnd) return wait;
    const methods = this.#bytes.subarray(2, methodsEnd);
    this.#version = 5;
    if (!methods.includes(0)) return refuse(Uint8Array.of(5, 0xff), "it insists on a password");
    this.#drop(methodsEnd);
    this.#isGreeted = true;
    return { kind: "send", bytes: Uint8Array.of(5, 0) };
  }

  #request5(): SocksStep {
    const bytes = this.#bytes;
    const [, command, , family, first] = bytes;
    if (first === undefined) return wait;
    if (command !== 1) return refuse(reply5(7), "it asked for another command than CONNECT");
    const [from, length] =
      family === 1 ? [4, 4] : family === 4 ? [4, 16] : family === 3 ? [5, first] : [4, 0];
    if (length === 0) return refuse(reply5(8), "it gave no address");
    const end = from + length;
    if (bytes.length < end + 2) return wait;
    const address = bytes.subarray(from, end);
    const host = family === 3 ? hostText(address) : addressText(address);
    const port = ((bytes[end] ?? 0) << 8) | (bytes[end + 1] ?? 0);
    if (host === undefined || port === 0) return refuse(reply5(1), "it gave no usable address");
    this.#drop(end + 2);
    return { kind: "connect", target: { host, port } };
  }

  #request4(): SocksStep {
    const bytes = this.#bytes;
    const userEnd = bytes.indexOf(0, 8);
    if (bytes.length < 9 || userEnd === -1) return wait;
    this.#version = 4;
    const port = ((bytes[2] ?? 0) << 8) | (bytes[3] ?? 0);
    const address = bytes.subarray(4, 8);
    // 0.0.0.x: SOCKS 4a, a name follows.
    const isNamed = address[0] === 0 && address[1] === 0 && address[2] === 0 && address[3] !== 0;
    const nameEnd = isNamed ? bytes.indexOf(0, userEnd + 1) : userEnd;
    if (nameEnd === -1) return wait;
    const host = isNamed ? hostText(bytes.subarray(userEnd + 1, nameEnd)) : addressText(address);
    if (bytes[1] !== 1) return refuse(reply4(false), "it asked for another command than CONNECT");
    if (host === undefined || port === 0) return refuse(reply4(false), "it gave no usable address");
    this.#drop(nameEnd + 1);
    return { kind: "connect", target: { host, port } };
  }

  #drop(length: number): void {
    this.#bytes = this.#bytes.slice(length);
  }
}

const wait = { kind: "wait" } as const;

function refuse(bytes: Uint8Array, because: string): SocksStep {
  return { kind: "refuse", bytes, because };
}

/** Only what a name or number can be: it travels on as text. */
function hostText(bytes: Uint8Array): string | undefined {
  const text = new TextDecoder().decode(bytes);
  return /^[\w.:%-]{1,255}$/.test(text) ? text : undefined;
}

function reply5(code: number): Uint8Array {
  // The address we connected from is nobody's business: 0.0.0.0:0, as many do.
  return Uint8Array.of(5, code, 0, 1, 0, 0, 0, 0, 0, 0);
}

function reply4(granted: boolean): Uint8Array {
  return Uint8Array.of(0, granted ? 90 : 91, 0, 0, 0, 0, 0, 0);
}

const replyCodes = { connected: 0, failed: 1, unreachable: 4, refused: 5 } as const;
