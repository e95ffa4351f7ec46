import { afterEach, beforeEach, expect, jest, test } from "bun:test";
import { Forwards } from "../../../../src/roles/client/forward/forwards.ts";
import { clientLimits } from "../../../../src/roles/client/limits.ts";
import type { AttestedLink } from "../../../../src/roles/client/link/attested-link.ts";

/** Forwards that are added at the same time, in virtual time. */

const context = { env: { LANG: "C.UTF-8" }, randomBytes: (count: number) => new Uint8Array(count) };
/** It counts as up, and nothing comes back. */
const standingStill = {
  connection: () => new Promise<never>(() => undefined),
} as unknown as AttestedLink;

beforeEach(() => {
  jest.useFakeTimers();
});
afterEach(() => {
  jest.useRealTimers();
});

async function pass(durationMs: number): Promise<void> {
  for (let passedMs = 0; passedMs < durationMs; passedMs += 100) {
    jest.advanceTimersByTime(100);
    for (let turn = 0; turn < 20; turn++) await Promise.resolve();
  }
}

test("several by -R over a link that stands still are all added before the askers give up", async () => {
  const options = { vault: "dev", gateway: false, note: () => undefined };
  const forwards = await Forwards.open([], options, context);
  forwards.use(standingStill);
  const lines: string[] = [];
  const adding = [4001, 4002, 4003].map(async (port) => {
    lines.push(await forwards.add("R", `${port}:localhost:1`));
  });
  await pass(clientLimits.controlAnswerMs - 1000);
  expect(lines).toEqual([4001, 4002, 4003].map((port) => `dev 127.0.0.1:${port} → localhost:1`));
  expect(forwards.list().map(({ state }) => state)).toEqual(["waiting", "waiting", "waiting"]);
  expect(jest.getTimerCount()).toBe(0);
  await Promise.all(adding);
  await forwards.close();
});
