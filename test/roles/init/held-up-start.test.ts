import { expect, test } from "bun:test";
import { initLimits } from "../../../src/roles/init/limits.ts";

/** That held-up starts are ended is in test/attacks/guest.test.ts. */

test("while the link rests, and does not look, no request waits for a start any more", () => {
  expect(initLimits.restAfterMs).toBeGreaterThan(initLimits.settleMs);
});
