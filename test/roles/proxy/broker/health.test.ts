import { expect, test } from "bun:test";
import { brokerLimits } from "../../../../src/roles/proxy/broker/broker-limits.ts";
import { healthOf } from "../../../../src/roles/proxy/broker/health.ts";

const well = { relayListens: true, isSynced: true, directoryAgeMs: 15_000, draining: false };

test("healthOf: well with a relay that listens and a list that is not old", () => {
  expect(healthOf(well)).toEqual({ ok: true, why: "ok" });
  expect(healthOf({ ...well, isSynced: false }).ok).toBe(true);
  expect(healthOf({ ...well, directoryAgeMs: brokerLimits.directoryAgeMsMax }).ok).toBe(true);
});

test.each([
  [{ relayListens: false }, "not listening"],
  [{ directoryAgeMs: brokerLimits.directoryAgeMsMax + 1 }, "the list of machines is old"],
  [{ draining: true }, "draining"],
])("healthOf: %p is not well", (change, why) => {
  expect(healthOf({ ...well, ...change })).toEqual({ ok: false, why });
});
