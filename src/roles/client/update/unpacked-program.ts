import type { FileHandle } from "node:fs/promises";
import { Readable } from "node:stream";
import { createGunzip } from "node:zlib";
import { extract } from "tar-stream";
import { Failure } from "../../../cli/failure.ts";
import { formatSize } from "../../../cli/size.ts";
import { updateLimits } from "./update-limits.ts";

/** Writes the executable of a release's archive into the file. Rejects with `Failure`. */
export async function unpackProgram(
  archive: Uint8Array,
  member: string,
  file: FileHandle,
): Promise<void> {
  const unpacked = createGunzip();
  const entries = extract();
  unpacked.on("error", (error) => entries.destroy(error));
  Readable.from([archive]).pipe(unpacked).pipe(entries);
  let isFound = false;
  try {
    for await (const entry of entries) {
      const isProgram = entry.header.name === member && entry.header.type === "file";
      let writtenBytes = 0;
      for await (const bytes of entry) {
        if (!isProgram) continue;
        writtenBytes += bytes.length;
        if (writtenBytes > updateLimits.programBytesMax)
          throw unusable(`${member} has more than ${formatSize(updateLimits.programBytesMax)}`);
        await file.writeFile(bytes);
      }
      isFound ||= isProgram;
    }
  } catch (error) {
    if (error instanceof Failure || isSystemError(error)) throw error;
    throw unusable(error instanceof Error ? error.message : String(error));
  } finally {
    unpacked.destroy();
    entries.destroy();
  }
  if (!isFound) throw unusable(`there is no ${member} in it`);
}

function isSystemError(error: unknown): boolean {
  return error instanceof Error && "syscall" in error;
}

function unusable(because: string): Failure {
  return new Failure("FV-UPD-003", "the release's archive cannot be unpacked", {
    because,
    fix: "tell whoever publishes the releases; nothing was changed",
  });
}
