import { expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { seed, seededRandom } from "../../support/seed.ts";
import { contentByGnu, listedByGnu, listedByUs } from "./tar-listing.ts";
import { oddArchive } from "./odd-archive.ts";

/** As long as FV_FUZZ_SECONDS says, otherwise by number: a GNU tar for each costs its time. */
const seconds = Number(process.env["FV_FUZZ_SECONDS"]) || 0;
const rounds = 800;

setDefaultTimeout(60_000 + seconds * 1000);

/**
 * Whatever our reader accepts, GNU tar reads the same way: names, types, modes, owners, sizes, link
 * targets, and every byte of content. Refusing what GNU tar reads is our right; the other way round is a hole.
 */
test("what is accepted, GNU tar reads the same way", () => {
  const stopAt = performance.now() + seconds * 1000;
  const random = seededRandom(seed);
  const folder = mkdtempSync(join(tmpdir(), "fv-agreement-"));
  const path = join(folder, "odd.tar");
  let accepted = 0;
  let round = 0;
  try {
    for (; seconds > 0 ? performance.now() < stopAt : round < rounds; round++) {
      const bytes = oddArchive(random);
      const ours = listedByUs(bytes);
      if (ours === undefined) continue;
      accepted++;
      writeFileSync(path, bytes);
      try {
        expect(listedByGnu(path)).toEqual(ours.entries);
        if (ours.sizeBytes < 2 ** 20) expect(contentByGnu(path).equals(ours.content)).toBe(true);
      } catch (error) {
        const base64 = gzipSync(bytes).toString("base64");
        const message = `FV_SEED=${seed}, archive ${round}: ${String(error)}\n${base64}`;
        throw new Error(message, { cause: error });
      }
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
  console.log(`${accepted} archives accepted of ${round}, FV_SEED=${seed}`);
  expect(accepted).toBeGreaterThan(round / 5);
});
