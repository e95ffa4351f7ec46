import { closeSync, openSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "bun:test";
import { openPipe } from "../../src/system/process-pipe.ts";

const child = fileURLToPath(new URL("process-output.child.ts", import.meta.url));
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "fly-vault-output-"));
});
afterAll(async () => rm(folder, { recursive: true }));

/** A child that writes `bytes` twice to `stdout`, which is closed here once it has it; `made`: a stream of Bun's. */
function start(
  bytes: number,
  stdout: number,
): { readonly made: Promise<undefined>; readonly told: Promise<unknown> } {
  const started = Bun.spawn([process.execPath, child, `${bytes}`], {
    stdio: ["ignore", stdout, "inherit", "pipe"],
  });
  closeSync(stdout);
  const made = Promise.withResolvers<undefined>();
  const listen = async (): Promise<unknown> => {
    let text = "";
    for await (const chunk of Bun.file(started.stdio[3] ?? -1).stream()) {
      text += Buffer.from(chunk).toString();
      if (text.startsWith("\n")) made.resolve(undefined);
    }
    return JSON.parse(text) as unknown;
  };
  return { made: made.promise, told: listen() };
}

const twice = (bytes: number): string => "a".repeat(bytes) + "b".repeat(bytes);

test("a pipe with room, and a file of any size, need no stream of Bun's", async () => {
  const { readFd, writeFd } = openPipe();
  const few = start(10, writeFd);
  expect(await Bun.file(readFd).text()).toBe(twice(10));
  expect(await few.told).toEqual({ isMade: false });
  closeSync(readFd);

  const path = join(folder, "file");
  const many = start(1_000_000, openSync(path, "a"));
  expect(await many.told).toEqual({ isMade: false });
  expect(await Bun.file(path).text()).toBe(twice(1_000_000));
});

test("what a full pipe does not take comes after it, whole", async () => {
  const { readFd, writeFd } = openPipe();
  const many = start(300_000, writeFd);
  await many.made;
  expect(await Bun.file(readFd).text()).toBe(twice(300_000));
  expect(await many.told).toEqual({ isMade: true });
  closeSync(readFd);
});

test("a reader that is gone, and a disk that is full, are told apart", async () => {
  const { readFd, writeFd } = openPipe();
  closeSync(readFd);
  const gone = await start(10, writeFd).told;
  expect(gone).toEqual({
    isMade: expect.any(Boolean),
    error: "BrokenPipe: The reader has gone away",
  });
  const full = await start(10, openSync("/dev/full", "w")).told;
  expect(full).toEqual({ isMade: false, error: "Failure: standard output cannot be written" });
});
