/** Takes and frees small pieces again and again, and tells how many page faults that was once it is to be kept. */
import { type Pointer, toArrayBuffer } from "bun:ffi";
import { openLibc } from "../../src/system/libc.ts";
import { keepNativeHeap, trimNativeHeap } from "../../src/system/native-heap.ts";

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
const heldBytes = process.memoryUsage.rss();
trimNativeHeap();
console.log(JSON.stringify({ faults, givenBackBytes: heldBytes - process.memoryUsage.rss() }));
