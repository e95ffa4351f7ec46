import { afterEach, beforeEach, expect, jest, test } from "bun:test";
import type { HintState } from "../../../../src/quic/admission-hint.ts";
import { StartProgress } from "../../../../src/roles/client/dial/start-progress.ts";
import { memoryContext } from "../../../support/memory-context.ts";

const tagStart = new Uint8Array(8);
const nowS = 1_800_000_000;

beforeEach(() => {
  jest.useFakeTimers();
});
afterEach(() => {
  jest.useRealTimers();
});

/** What stderr has after these hints; `ms` is the virtual time from the first to the end. */
async function told(
  states: readonly HintState[],
  options: {
    readonly tty?: boolean;
    readonly quiet?: boolean;
    readonly verbose?: number;
    readonly isUp?: boolean;
    readonly offS?: number;
    readonly ms?: number;
  } = {},
): Promise<string> {
  const { tty = false, quiet = false, verbose = 0, isUp = true, offS = 0, ms = 0 } = options;
  const memory = memoryContext({ tty });
  let passedMs = 0;
  const context = {
    ...memory,
    monotonicMs: () => passedMs,
    wallMs: () => (nowS - offS) * 1000,
  };
  const progress = new StartProgress(context, { quiet, verbose });
  for (const state of states) progress.receive({ state, timeS: nowS, tagStart });
  for (; passedMs < ms; passedMs += 100) jest.advanceTimersByTime(100);
  await progress.end(isUp);
  return memory.err();
}

test("in a pipe it is one line, whatever comes of it", async () => {
  const line = "machine stopped, starting …\n";
  expect(await told(["starting", "starting", "failed"], { isUp: false })).toBe(line);
  expect(await told(["starting"])).toBe(line);
});

test("on a terminal the line counts on, and ends as one that stays", async () => {
  const text = await told(["resuming"], { tty: true, ms: 2400 });
  const lines = text.split("\r\u001b[2K");
  const drawn = lines.flatMap(
    (line) => /^machine suspended, resuming … (.*) s$/.exec(line)?.[1] ?? [],
  );
  expect(drawn.length).toBeGreaterThanOrEqual(10);
  expect(drawn).toEqual(drawn.toSorted());
  expect(lines.at(-1)).toBe("machine started in 2.4 s\n");
});

test("what failed leaves nothing on a terminal but its error", async () => {
  const text = await told(["starting"], { tty: true, isUp: false, ms: 1500 });
  expect(text).toEndWith("\r\u001b[2K");
});

test("-q is silent, and so is a proxy with nothing to say of a start", async () => {
  expect(await told(["starting", "clock"], { quiet: true, verbose: 1, offS: 400 })).toBe("");
  expect(await told(["busy", "draining", "clock"], { offS: 400 })).toBe("");
});

test.each([
  [400, "note: this computer's clock is 400 s behind the proxy's\n"],
  [-123, "note: this computer's clock is 123 s ahead of the proxy's\n"],
])("under -v a clock that is %i s off is told once", async (offS, line) => {
  expect(await told(["clock", "clock"], { verbose: 1, offS })).toBe(line);
});
