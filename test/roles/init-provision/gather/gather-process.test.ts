import { expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { pieceIdBytes, RecipeWriter } from "../../../../src/protocol/archive-recipe.ts";
import { RemoteError } from "../../../../src/protocol/errors.ts";
import { limits } from "../../../../src/protocol/limits.ts";
import { runUnpack } from "../../../../src/roles/init/provision/unpack-process.ts";
import { rejection } from "../../../support/rejection.ts";
import { unpackCommand } from "../volume-fixture.ts";

setDefaultTimeout(120_000);

async function* thenSilent(recipe: Uint8Array): AsyncGenerator<Uint8Array> {
  yield recipe;
  await new Promise(() => undefined);
}

test("the largest recipe there may be takes little memory, and its answer is whole", async () => {
  const writer = new RecipeWriter();
  const id = new Uint8Array(pieceIdBytes);
  const number = new DataView(id.buffer);
  for (let index = 0; index < limits.recipeItemsMax; index++) {
    number.setUint32(3, index);
    writer.piece(1000, id);
  }
  const abort = new AbortController();
  let answer: Uint8Array | undefined;
  let peakMib = 0;
  const gathering = runUnpack({
    command: [...unpackCommand, "gather", "/nonexistent", String(limits.recipeBytesMax)],
    env: process.env,
    archive: thenSilent(writer.finish()),
    signal: abort.signal,
    onLacking: (pieces) => {
      answer = pieces;
      peakMib = gatheringPeakMib();
      abort.abort(new RemoteError("cancelled", "enough"));
    },
  });
  expect(await rejection(gathering)).toMatchObject({ message: "enough" });
  expect(answer?.length).toBe(limits.lackingBytesMax);
  expect(answer?.every((byte) => byte === 0xff)).toBe(true);
  expect(peakMib).toBeGreaterThan(30);
  expect(peakMib).toBeLessThan(256);
});

/** The most that our child which gathers has had. */
function gatheringPeakMib(): number {
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    const status = read(`/proc/${pid}/status`);
    const isOurs = status.includes(`\nPPid:\t${process.pid}\n`);
    if (!isOurs || !read(`/proc/${pid}/cmdline`).includes("\0gather\0")) continue;
    return Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024;
  }
  return 0;
}

/** Empty for a process that has just ended. */
function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
