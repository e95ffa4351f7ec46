import { closeSync, openSync, readSync } from "node:fs";
import { socketLimits } from "./socket-limits.ts";

/** A socket that waits for others, as the kernel lists it. */
export interface ListeningSocket {
  readonly host: string;
  readonly port: number;
  /** As links of descriptors show it: "socket:[12345]". */
  readonly link: string;
}

/** Those of our own network namespace. Empty on systems that do not tell. */
export function listeningSockets(protocol: "tcp" | "udp"): ListeningSocket[] {
  const state = protocol === "tcp" ? "0A" : "07";
  return ["", "6"].flatMap((family) =>
    parseSockets(readListening(`/proc/net/${protocol}${family}`, state), state),
  );
}

/** Lines of /proc/net/tcp and its like, of which those in that state are taken. */
export function parseSockets(text: string, wanted: string): ListeningSocket[] {
  return text.split("\n").flatMap((line) => {
    const [, local = "", , state, , , , , , inode = ""] = line.trim().split(/\s+/);
    const [, address = "", port = ""] =
      /^([0-9A-F]{8}|[0-9A-F]{32}):([0-9A-F]{4})$/.exec(local) ?? [];
    if (state !== wanted || address === "" || !/^\d+$/.test(inode)) return [];
    return [{ host: hostOf(address), port: Number.parseInt(port, 16), link: `socket:[${inode}]` }];
  });
}

/** The kernel lists TCP sockets that listen before all others, of which there may be very many. */
function readListening(path: string, state: string): string {
  let text = "";
  try {
    const descriptor = openSync(path, "r");
    try {
      const bytes = new Uint8Array(socketLimits.socketTableReadBytes);
      while (text.length < socketLimits.socketTableBytesMax && !endsOtherwise(text, state)) {
        const count = readSync(descriptor, bytes);
        if (count === 0) break;
        text += Buffer.from(bytes.subarray(0, count)).toString("latin1");
      }
    } finally {
      closeSync(descriptor);
    }
  } catch {
    // Not there: what was read is all there is.
  }
  return text;
}

function endsOtherwise(text: string, state: string): boolean {
  const last = text.split("\n").slice(1, -1).at(-1);
  return state === "0A" && last !== undefined && last.trim().split(/\s+/)[3] !== state;
}

/** Words of 32 bits, each as a little-endian machine prints it. */
function hostOf(address: string): string {
  const words = address.match(/.{8}/g) ?? [];
  const bytes = words.flatMap((word) => [...Buffer.from(word, "hex")].toReversed());
  if (bytes.length === 4) return bytes.join(".");
  if (bytes.slice(0, 10).every((byte) => byte === 0) && bytes[10] === 0xff && bytes[11] === 0xff)
    return bytes.slice(12).join(".");
  const groups = Array.from({ length: 8 }, (_, at) =>
    (((bytes[2 * at] ?? 0) << 8) | (bytes[2 * at + 1] ?? 0)).toString(16),
  );
  // As everybody writes it.
  return new URL(`http://[${groups.join(":")}]/`).hostname.slice(1, -1);
}
