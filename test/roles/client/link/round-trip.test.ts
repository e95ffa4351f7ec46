import { expect, test } from "bun:test";
import { formatRoundTrip } from "../../../../src/roles/client/link/round-trip.ts";

test.each([
  [0, "under 1 ms"],
  [1, "1 ms"],
  [38, "38 ms"],
  [38.6, "39 ms"],
])("a round trip of %d ms is %s", (rttMs, said) => {
  expect(formatRoundTrip(rttMs)).toBe(said);
});
