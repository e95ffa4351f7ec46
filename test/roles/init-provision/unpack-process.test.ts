import { expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { provisionLimits } from "../../../src/roles/init/provision/limits.ts";
import { runUnpack } from "../../../src/roles/init/provision/unpack-process.ts";
import { rejection } from "../../support/rejection.ts";

/** A child that an archive got the better of, as a shell script. */
const run = (script: string): ReturnType<typeof runUnpack> =>
  runUnpack({
    command: ["sh", "-c", script],
    env: process.env,
    signal: new AbortController().signal,
  });

test("a child that falls silent without a verdict is not waited for", async () => {
  const error = await rejection(run("exec 3>&-; exec sleep 1000"));
  expect(error).toMatchObject({
    code: "internal",
    message: "The unpacking process died of SIGKILL",
  });
});

test("a child whose report has no end is killed once it is too long", async () => {
  const tooLong = provisionLimits.reportLineBytesMax + 1;
  const error = await rejection(run(`head -c ${tooLong} /dev/zero >&3; exec sleep 1000`));
  expect(error).toMatchObject({
    code: "internal",
    message: expect.stringContaining("cannot be read"),
  });
});

const openCount = (): number => readdirSync("/proc/self/fd").length;

test("no descriptor is left of a child that is over", async () => {
  const verdict =
    '{"type":"done","sha256":"","received_bytes":0,"entries":0,"written_bytes":0,"skipped":[]}';
  await run(`echo '${verdict}' >&3`);
  const before = openCount();
  for (let count = 0; count < 5; count++) await run(`echo '${verdict}' >&3`);
  for (let looks = 0; looks < 100 && openCount() > before; looks++) await Bun.sleep(10);
  expect(openCount()).toBeLessThanOrEqual(before);
});

test("nor is one that says what we do not know", async () => {
  const error = await rejection(run(`echo '{"type":"boast"}' >&3; exec sleep 1000`));
  expect(error).toMatchObject({
    code: "internal",
    message: expect.stringContaining("cannot be read"),
  });
});
