import { closeSync, openSync, readSync } from "node:fs";

/**
 * The beginning of a file that a person named: at most one byte more than `bytesMax`, so that whoever
 * asks can tell that it is longer. Devices and pipes are read as well. Throws what the system says.
 */
export function readFileHead(path: string, bytesMax: number): Uint8Array {
  const bytes = new Uint8Array(bytesMax + 1);
  const descriptor = openSync(path, "r");
  try {
    let length = 0;
    while (length < bytes.length) {
      const count = readSync(descriptor, bytes, length, bytes.length - length, null);
      if (count === 0) break;
      length += count;
    }
    return bytes.subarray(0, length);
  } finally {
    closeSync(descriptor);
  }
}
