import { expect, test } from "bun:test";
import { proxyLimits } from "../../../../src/roles/proxy/limits.ts";
import { PenaltyTable } from "../../../../src/roles/proxy/relay/penalty-table.ts";

const table = (): PenaltyTable => new PenaltyTable(Uint8Array.of(1, 2, 3, 4));

function note(penalties: PenaltyTable, network: number | string, times: number, nowMs = 0): void {
  for (let count = 0; count < times; count++) penalties.note(network, nowMs);
}

test.each([0, 7, 2 ** 32 - 1, "fdaa:0:1:2", ""])(
  "network %p: a slip is none, three at once are, for as long as they count",
  (network) => {
    const penalties = table();
    note(penalties, network, 2);
    expect(penalties.isPunished(network, 0)).toBe(false);
    note(penalties, network, 1);
    expect(penalties.isPunished(network, 0)).toBe(true);
    expect(penalties.isPunished(network, 1)).toBe(false);
    note(penalties, network, 1000, 10);
    expect(penalties.isPunished(network, 10 + 57_000)).toBe(true);
    expect(penalties.isPunished(network, 10 + 57_001)).toBe(false);
    note(penalties, network, 2, 200_000);
    expect(penalties.isPunished(network, 200_000)).toBe(false);
  },
);

test("nobody is punished for others, however many they are", () => {
  const penalties = table();
  for (let network = 0; network < 2 * proxyLimits.penaltyNetworksMax; network++)
    note(penalties, network, 5);
  expect(penalties.size).toBeLessThanOrEqual(proxyLimits.penaltyNetworksMax);
  expect(penalties.size).toBeGreaterThan(0.8 * proxyLimits.penaltyNetworksMax);
  const innocent = Array.from({ length: 10_000 }, (_, at) => [2 ** 31 + at, `fdaa:${at}`]).flat();
  expect(innocent.filter((network) => penalties.isPunished(network, 0))).toEqual([]);
  // When their time is over, others have their places.
  for (let network = 0; network < 1000; network++) note(penalties, 2 ** 31 + network, 5, 60_001);
  const punished = Array.from({ length: 1000 }, (_, at) => 2 ** 31 + at).filter((network) =>
    penalties.isPunished(network, 60_001),
  );
  expect(punished).toHaveLength(1000);
});
