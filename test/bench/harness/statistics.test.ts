import { expect, test } from "bun:test";
import fc from "fast-check";
import { growthExponent, median, quantile } from "../../../bench/harness/statistics.ts";
import { seeded } from "../../support/seed.ts";

const values = fc.array(fc.integer({ min: -1000, max: 1000 }), { minLength: 1, maxLength: 50 });

test("the median is the middle, or between the middle two", () => {
  expect(median([3, 1, 2])).toBe(2);
  expect(median([4, 1, 2, 3])).toBe(2.5);
  expect(median([])).toBeNaN();
});

test("as many values lie below the median as above it, and their order does not matter", () => {
  fc.assert(
    fc.property(values, (list) => {
      const middle = median(list);
      const below = list.filter((value) => value < middle).length;
      const above = list.filter((value) => value > middle).length;
      expect(Math.max(below, above)).toBeLessThanOrEqual(list.length / 2);
      expect(median(list.toReversed())).toBe(middle);
    }),
    seeded(200),
  );
});

test("a quantile is one of the values, and the last part is the greatest", () => {
  expect(quantile([5, 1, 4, 2, 3], 0.5)).toBe(3);
  expect(quantile([1, 2, 3], 0.99)).toBe(3);
  expect(quantile([1, 2, 3], 1)).toBe(3);
  expect(quantile([], 0.5)).toBeNaN();
});

test("growth finds the power that made the costs", () => {
  fc.assert(
    fc.property(fc.double({ min: 0, max: 3, noNaN: true }), (power) => {
      const points = [1, 10, 50, 1000].map((count) => ({ count, cost: 7 * count ** power }));
      expect(growthExponent(points)).toBeCloseTo(power, 6);
    }),
    seeded(100),
  );
});

test("growth leaves out what has no logarithm", () => {
  const points = [
    { count: 1, cost: Number.NaN },
    { count: 2, cost: 0 },
    { count: 10, cost: 20 },
    { count: 100, cost: 200 },
  ];
  expect(growthExponent(points)).toBeCloseTo(1, 9);
});
