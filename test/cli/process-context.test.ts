import { closeSync, openSync } from "node:fs";
import { devNull } from "node:os";
import { fileURLToPath } from "node:url";
import { afterAll, expect, test } from "bun:test";
import { openDevpts, openPty } from "../../src/system/pty.ts";

const child = fileURLToPath(new URL("process-context.child.ts", import.meta.url));
const hangup = fileURLToPath(new URL("process-hangup.child.ts", import.meta.url));
const devpts = openDevpts("/dev/pts");
const { masterFd, slaveFd } = openPty(devpts);
const empty = openSync(devNull, "r+");

afterAll(() => {
  for (const fd of [masterFd, slaveFd, devpts, empty]) closeSync(fd);
});

interface Answer {
  readonly terminals: readonly string[];
  readonly made: readonly string[];
}

async function ask(...stdio: readonly [number | "pipe", number | "pipe", number]): Promise<Answer> {
  const started = Bun.spawn([process.execPath, child], { stdio: [...stdio, "pipe"] });
  const said = await Bun.file(started.stdio[3] ?? -1).text();
  expect(await started.exited).toBe(0);
  return JSON.parse(said) as Answer;
}

test("what is no terminal is known without a stream of Bun's: each costs every command its making", async () => {
  const nobody = { terminals: [], made: [] };
  expect(await ask(empty, empty, empty)).toEqual(nobody);
  expect(await ask("pipe", "pipe", empty)).toEqual(nobody);
});

test("a terminal is one", async () => {
  const { terminals } = await ask(slaveFd, slaveFd, slaveFd);
  expect(terminals).toEqual(["stdin", "stdout", "stderr"]);
  expect(await ask(empty, empty, slaveFd)).toEqual({ terminals: ["stderr"], made: ["stderr"] });
});

test.each([
  ["trap '' HUP", "heeds", "ended"],
  ["trap '' HUP", "takes", "SIGHUP"],
  ["true", "heeds", "SIGHUP"],
])("started after %p what %s nohup says %p of a hangup", async (before, how, said) => {
  const words = ["sh", "-c", `${before}; exec "$0" "$@"`, process.execPath, hangup, how];
  const started = Bun.spawn(words, { stdio: ["pipe", "pipe", "inherit"] });
  const reader = started.stdout.getReader();
  const next = async () => new TextDecoder().decode((await reader.read()).value);
  expect(await next()).toBe("ready\n");
  started.kill("SIGHUP");
  // The signal is delivered before what is sent after it is read.
  await started.stdin.end();
  expect(await next()).toBe(`${said}\n`);
  expect(await started.exited).toBe(0);
});
