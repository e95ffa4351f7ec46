import type { TarEntry } from "../../src/system/archive/tar/entry.ts";
import { TarRefusal } from "../../src/system/archive/tar/refusal.ts";
import { tarLimits } from "../../src/system/archive/tar/limits.ts";
import { type TarEvent, TarReader } from "../../src/system/archive/tar/reader.ts";
import { concat, endMark } from "../roles/init-provision/tar-builder.ts";
import { type FuzzTarget, isSampled, someSlices } from "../support/fuzz.ts";
import { anyEntry, mutateTar } from "../support/tar-generator.ts";

/** Headers, PAX and GNU long names: entries in range or a refusal, the same for every cut. */
export const tarHeaders: FuzzTarget = {
  name: "tar headers",
  runs: 250_000,
  planned: 2_000_000,
  corpus: (random) => Array.from({ length: 500 }, () => concat(anyEntry(random), endMark)),
  mutate: mutateTar,
  check: (bytes) => {
    const whole = read([bytes]);
    if (isSampled(bytes, 8)) {
      const cut = read(someSlices(bytes));
      if (cut.said !== whole.said) throw new Error(`cut: ${cut.said}, whole: ${whole.said}`);
    }
    return whole.entries > 0;
  },
};

/** All that a reader makes of the bytes, as text to compare. */
function read(slices: readonly Uint8Array[]): { readonly said: string; readonly entries: number } {
  const reader = new TarReader();
  let [said, entries, taken] = ["", 0, 0];
  const take = (event: TarEvent): void => {
    if (event.kind === "data") taken += event.bytes.length;
    if (event.kind !== "entry") return;
    entries += 1;
    checkEntry(event.entry);
    said += JSON.stringify(event.entry);
  };
  try {
    for (const slice of slices) for (const event of reader.push(slice)) take(event);
    reader.finish();
    return { said: `${said} ${taken} whole`, entries };
  } catch (error) {
    if (!(error instanceof TarRefusal)) throw error;
    return { said: `${said} ${taken} ${error.reason}`, entries };
  }
}

function checkEntry(entry: TarEntry): void {
  const { path, mode, uid, gid, mtime } = entry;
  const paths = entry.kind === "hardlink" ? [path, entry.target] : [path];
  for (const each of paths)
    if (each.startsWith("/") || each.split("/").includes("..") || each.includes("\0"))
      throw new Error(`path ${JSON.stringify(each)}`);
  const numbers = [mode, uid, gid, mtime.seconds, mtime.nanoseconds];
  if (entry.kind === "file") numbers.push(entry.sizeBytes);
  if (numbers.some((value) => !Number.isSafeInteger(value) || value < 0))
    throw new RangeError(`numbers ${numbers.join(" ")}`);
  if (mode > 0o7777 || Math.max(uid, gid) > tarLimits.idMax || mtime.nanoseconds >= 1e9)
    throw new RangeError(`mode ${mode}, owner ${uid}:${gid}, ${mtime.nanoseconds} ns`);
}
