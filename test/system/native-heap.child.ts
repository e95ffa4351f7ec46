/**
 * Takes and frees small pieces again and again, and tells how many page faults that was once they are to be kept, and what
 * is given back at rest.
 */
import { readFileSync } from "node:fs";
import { type Pointer, toArrayBuffer } from "bun:ffi";
import { openLibc } from "../../src/system/libc.ts";
import { keepNativeHeap } from "../../src/system/native-heap.ts";
import { Rest } from "../../src/system/rest.ts";

const { malloc, free } = openLibc({
  malloc: { args: ["u64"], returns: "ptr" },
  free: { args: ["ptr"], returns: "void" },
});
keepNativeHeap();
const pieceBytes = 64 * 1024;
const before = process.resourceUsage().minorPageFault;
for (let round = 0; round < 40; round++) {
  const pieces: Pointer[] = [];
  for (let count = 0; count < 100; count++) {
    const piece = malloc(BigInt(pieceBytes));
    if (typeof piece !== "number") throw new Error("No memory");
    new Uint8Array(toArrayBuffer(piece, 0, pieceBytes)).fill(1);
    pieces.push(piece);
  }
  for (const piece of pieces.toReversed()) free(piece);
}
const faults = process.resourceUsage().minorPageFault - before;
const heldBytes = heapBytes();
await new Promise<void>((onRest) => new Rest({ afterMs: 1, onRest }));
// It tells before it gives back, in the same turn.
await Bun.sleep(0);
console.log(JSON.stringify({ faults, givenBackBytes: heldBytes - heapBytes() }));

/** What glibc's heap has of memory. */
function heapBytes(): number {
  const smaps = readFileSync("/proc/self/smaps", "latin1");
  return 1024 * Number(/\[heap\]\n(?:.*\n)*?Rss: +(\d+) kB/.exec(smaps)?.[1]);
}
