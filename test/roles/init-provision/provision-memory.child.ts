/**
 * Run as a child of provision-memory.test.ts, because its resident memory is measured: stages an archive
 * of so many MiB. Prints the highest figures of itself and of the process that unpacks, as JSON.
 */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { archive, concat, dir, file, header } from "./tar-builder.ts";
import { Volume } from "./volume-fixture.ts";

export interface StagingMemory {
  readonly writtenBytes: number;
  /** Beyond what was resident before. */
  readonly growthBytes: number;
  readonly unpackerBytes: number;
}

const block = 512;
const content = Buffer.alloc(1024 * 1024, crypto.getRandomValues(new Uint8Array(65_536)));
await using volume = new Volume();
let [highestBytes, unpackerBytes] = [0, 0];
const look = () => {
  highestBytes = Math.max(highestBytes, process.memoryUsage.rss());
  unpackerBytes = Math.max(unpackerBytes, residentBytes(volume.layout.next));
};

Bun.gc(true);
const startBytes = process.memoryUsage.rss();
const watch = setInterval(look, 50);
const staged = await volume.stage(large(Number(process.argv[2])));
look();
clearInterval(watch);
await staged.discard();
const { writtenBytes } = staged;
const memory = { writtenBytes, growthBytes: highestBytes - startBytes, unpackerBytes };
console.log(JSON.stringify(memory satisfies StagingMemory));

/** Each part in memory of its own, so that what is held shows; this end's own waste is collected and does not. */
async function* large(files: number): AsyncGenerator<Uint8Array> {
  yield concat(file("bin/sh", "#!", { mode: 0o755 }), dir("many"));
  for (let number = 0; number < files; number++) {
    yield header({ name: `many/${number}`, size: content.length });
    yield new Uint8Array(content);
    if (number % 8 === 0) Bun.gc(true);
  }
  yield archive().subarray(-2 * block);
}

/** Of the process that has this folder as its root. */
function residentBytes(root: string): number {
  const { ino } = statSync(root, { throwIfNoEntry: false }) ?? {};
  const pid = readdirSync("/proc").find((name) => ino !== undefined && rootInode(name) === ino);
  if (pid === undefined) return 0;
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) * 1024;
}

function rootInode(pid: string): number | undefined {
  if (!/^\d+$/.test(pid)) return undefined;
  try {
    return statSync(`/proc/${pid}/root/.`).ino;
  } catch {
    // Gone, or not ours to look at.
    return undefined;
  }
}
