import { expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { provisionLimits } from "../../../src/roles/init/provision/limits.ts";
import { runUnpack } from "../../../src/roles/init/provision/unpack-process.ts";
import { childEnv } from "../../../src/system/child-env.ts";
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

const sources = new URL("../../../src/", import.meta.url).href;
/** Takes all descriptors that there are, then has a child between two pipes started. */
const withoutDescriptors = `
const { openPipe } = await import("${sources}system/process-pipe.ts");
const { runUnpack } = await import("${sources}roles/init/provision/unpack-process.ts");
const { closeSync, fstatSync, openSync } = await import("node:fs");
const [before, after] = [openPipe(), openPipe()];
const taken = [];
try { for (;;) taken.push(openSync("/dev/null", "r")); } catch {}
const ends = { stdin: before.readFd, stdout: after.writeFd };
const signal = new AbortController().signal;
const running = runUnpack({ command: ["true"], env: {}, signal, ...ends });
const error = await running.catch((reason) => reason);
for (const fd of taken) closeSync(fd);
const isOpen = (fd) => { try { fstatSync(fd); return true; } catch { return false; } };
console.log(error.code, ...Object.values(ends).map(isOpen));`;

test("a child that cannot be started for want of descriptors leaves none open", async () => {
  const child = Bun.spawn(
    ["prlimit", "--nofile=64:64", process.execPath, "-e", withoutDescriptors],
    {
      env: childEnv({ PATH: process.env["PATH"] }),
      stdio: ["ignore", "pipe", "inherit"],
    },
  );
  expect(await child.stdout.text()).toBe("EMFILE false false\n");
});
