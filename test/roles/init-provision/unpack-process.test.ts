import { expect, test } from "bun:test";
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

test("nor is one that says what we do not know", async () => {
  const error = await rejection(run(`echo '{"type":"boast"}' >&3; exec sleep 1000`));
  expect(error).toMatchObject({
    code: "internal",
    message: expect.stringContaining("cannot be read"),
  });
});
