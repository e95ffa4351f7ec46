import { closeSync, existsSync, openSync, readFileSync, readSync } from "node:fs";

/** All memory of a process that is there, whatever it is used for, in pieces without a gap; of one that has gone none. */
export function* memoryOf(pid: number): Generator<Uint8Array> {
  if (!existsSync(`/proc/${pid}/mem`)) return;
  const memory = openSync(`/proc/${pid}/mem`, "r");
  const pageMap = openSync(`/proc/${pid}/pagemap`, "r");
  try {
    for (const line of readFileSync(`/proc/${pid}/maps`, "utf8").split("\n")) {
      const match = /^([0-9a-f]+)-([0-9a-f]+) r/.exec(line);
      // The kernel's own page is the same for everybody.
      if (match === null || line.includes("[v")) continue;
      const [from, to] = [match[1] ?? "", match[2] ?? ""].map((hex) => Number.parseInt(hex, 16));
      for (const run of usedPages(pageMap, from ?? 0, to ?? 0)) {
        const bytes = new Uint8Array(run.to - run.from);
        yield bytes.subarray(0, readThere(memory, bytes, run.from));
      }
    }
  } finally {
    closeSync(memory);
    closeSync(pageMap);
  }
}

/** Nothing of what the process has given back by now. */
function readThere(memory: number, bytes: Uint8Array, at: number): number {
  try {
    return readSync(memory, bytes, 0, bytes.length, at);
  } catch {
    return 0;
  }
}

/** JavaScript reserves gigabytes and uses little: runs of pages that are in memory or swapped out. */
function* usedPages(pageMap: number, from: number, to: number) {
  let start: number | undefined;
  for (let part = from; part < to; part += partPages * pageBytes) {
    const words = new BigUint64Array(Math.min(partPages, (to - part) / pageBytes));
    readSync(pageMap, words, 0, words.byteLength, (part / pageBytes) * 8);
    for (const [index, word] of words.entries()) {
      const at = part + index * pageBytes;
      const isUsed = word >> 62n !== 0n;
      if (isUsed) start ??= at;
      if (isUsed || start === undefined) continue;
      yield { from: start, to: at };
      start = undefined;
    }
  }
  if (start !== undefined) yield { from: start, to };
}

const pageBytes = 4096;
const partPages = 1 << 16;
