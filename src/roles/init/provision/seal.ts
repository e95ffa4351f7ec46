import { closeSync, existsSync, fsyncSync, mkdirSync, openSync } from "node:fs";
import { join } from "node:path";
import type { Context } from "../../../cli/context.ts";
import { openFlags, syncfs } from "../../../system/filesystem.ts";
import { childEnv } from "../../../system/child-env.ts";
import { dataLayout, type DataLayout, persistedFolders } from "./data-layout.ts";
import { writeMark } from "./mark.ts";
import type { Report } from "./report.ts";

/**
 * After a good digest: copies the first seed of /root and /home, brings everything to disk, marks the
 * tree complete, and brings the mark to disk. In this order: a mark found after a power cut means that
 * all it stands on is there. In the child, because syncfs blocks for as long as the disk needs.
 */
export async function sealStaging(words: readonly string[], context: Context): Promise<Report> {
  const [dataDir, sha256, generation, bytes] = words;
  if (
    dataDir === undefined ||
    sha256 === undefined ||
    generation === undefined ||
    bytes === undefined
  ) {
    throw new TypeError("init unpack seal DATA-DIR SHA256 GENERATION BYTES");
  }
  const layout = dataLayout(dataDir);
  if (!existsSync(layout.persist)) await copySeed(layout, context);
  const fd = openSync(layout.next, openFlags.directory | openFlags.noFollow);
  syncfs(fd);
  writeMark(fd, {
    state: "complete",
    generation: Number(generation),
    sha256,
    bytes: Number(bytes),
  });
  fsyncSync(fd);
  syncfs(fd);
  closeSync(fd);
  return { type: "done", sha256, received_bytes: 0, entries: 0, written_bytes: 0, skipped: [] };
}

/** `cp -a` keeps owners, modes, times, links and attributes, and follows no link below the folder. */
async function copySeed(layout: DataLayout, context: Context): Promise<void> {
  mkdirSync(layout.persistNext, { mode: 0o755 });
  for (const name of persistedFolders) {
    const from = join(layout.next, name);
    const copying = Bun.spawn(["cp", "-a", "--", from, join(layout.persistNext, name)], {
      env: childEnv({ PATH: context.env["PATH"] }),
      stdio: ["ignore", "ignore", "pipe"],
    });
    const words = await new Response(copying.stderr).text();
    if ((await copying.exited) === 0) continue;
    const full = words.includes("No space left") || words.includes("quota exceeded");
    const message = `Seeding /${name} failed: ${words.trim().slice(0, 300)}`;
    throw Object.assign(new Error(message), full ? { code: "ENOSPC" } : {});
  }
}
