import { expect, test } from "bun:test";
import { closeSync, readdirSync } from "node:fs";
import { RemoteError } from "../../../src/protocol/errors.ts";
import { runGathered } from "../../../src/roles/init/provision/gathered-unpack.ts";
import { runUnpack } from "../../../src/roles/init/provision/unpack-process.ts";
import { SystemError } from "../../../src/system/libc.ts";
import { rejection } from "../../support/rejection.ts";

const done =
  '{"type":"done","sha256":"","received_bytes":5,"entries":0,"written_bytes":0,"skipped":[]}';
const refused = (code: string): string => `{"type":"refused","code":"${code}","message":"no"}`;
/** As the unpacking child: what it reads decides. */
const reader = `[ "$(cat)" = whole ] && echo '${done}' >&3 || echo '${refused("archive-truncated")}' >&3`;

/** Two children as shell scripts. */
function run(
  scripts: { readonly gather: string; readonly extract: string },
  more: { signal?: AbortSignal; archive?: AsyncIterable<Uint8Array>; archiveWaitMs?: number } = {},
) {
  const { signal = new AbortController().signal } = more;
  const child = (script: string) => ({ command: ["sh", "-c", script], env: process.env, signal });
  const gather = { ...child(scripts.gather), ...more, signal };
  return runGathered({ gather, extract: child(scripts.extract), run: runUnpack });
}

test("what the first child writes is what the second one reads", async () => {
  const result = await run({ gather: `printf whole; echo '${done}' >&3`, extract: reader });
  expect(result).toMatchObject({ type: "done", received_bytes: 5 });
});

test("the refusal of the first counts, not what the second makes of half an archive", async () => {
  const gather = `echo '${refused("pieces-changed")}' >&3; printf half`;
  const error = await rejection(run({ gather, extract: reader }));
  expect(error).toMatchObject({ code: "pieces-changed" });
});

test("a first child that dies without a word is not taken for an archive that is whole", async () => {
  const error = await rejection(run({ gather: "printf whole; kill -9 $$", extract: reader }));
  expect(error).toMatchObject({ code: "internal" });
});

test("the refusal of the second ends the first one, which waits for more", async () => {
  const error = await rejection(
    run({ gather: "exec sleep 1000", extract: `echo '${refused("disk-full")}' >&3` }),
  );
  expect(error).toMatchObject({ code: "disk-full" });
});

test("a first one that was not even started ends the second, which waits for its words", async () => {
  const pipes: (number | undefined)[] = [];
  const error = await rejection(
    runGathered({
      gather: { command: [], env: {}, signal: new AbortController().signal },
      extract: { command: [], env: {}, signal: new AbortController().signal },
      run: async ({ stdin, stdout, signal }) => {
        pipes.push(stdin, stdout);
        if (stdout !== undefined) throw new SystemError("pipe2", emfile);
        await new Promise((_resolve, reject) => {
          signal.addEventListener("abort", () => reject(new Error("ended")), { once: true });
        });
        throw new Error("Not reached");
      },
    }),
  );
  for (const fd of pipes) if (fd !== undefined) closeSync(fd);
  expect(error).toMatchObject({ code: "EMFILE" });
});

test("trouble of the second that is no refusal is not called a cancel", async () => {
  const signal = new AbortController().signal;
  const gather = { command: ["sleep", "1000"], env: process.env, signal };
  const extract = { command: ["/nonexistent"], env: process.env, signal };
  const error = await rejection(runGathered({ gather, extract, run: runUnpack }));
  expect(error).toMatchObject({ code: "ENOENT" });
});

const emfile = 24;

async function* stuck(): AsyncGenerator<Uint8Array> {
  yield new Uint8Array(1);
  await new Promise(() => undefined);
}

test("an upload that stands still for too long ends both", async () => {
  const error = await rejection(
    run({ gather: "exec sleep 1000", extract: reader }, { archive: stuck(), archiveWaitMs: 50 }),
  );
  expect(error).toMatchObject({ code: "cancelled", message: "The archive stopped arriving" });
});

async function* broken(): AsyncGenerator<Uint8Array> {
  yield new Uint8Array(1);
  throw new RemoteError("download-failed", "gone");
}

test("so does one that breaks", async () => {
  const scripts = { gather: "exec sleep 1000", extract: reader };
  expect(await rejection(run(scripts, { archive: broken() }))).toMatchObject({
    code: "download-failed",
  });
});

test("a cancel ends both, at once and before they are started, and leaves no descriptor", async () => {
  const scripts = { gather: "exec sleep 1000", extract: "exec sleep 1000" };
  const abort = new AbortController();
  const before = readdirSync("/proc/self/fd").length;
  for (const when of ["while they run", "before"]) {
    const running = rejection(run(scripts, { signal: abort.signal }));
    if (when === "while they run") setTimeout(() => abort.abort(), 30);
    expect(await running).toBeInstanceOf(Error);
  }
  // What Bun closes, it closes a little later.
  for (let looks = 0; looks < 100; looks++) {
    if (readdirSync("/proc/self/fd").length <= before) break;
    await Bun.sleep(10);
  }
  expect(readdirSync("/proc/self/fd").length).toBeLessThanOrEqual(before);
});
