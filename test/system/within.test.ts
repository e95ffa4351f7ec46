import { expect, test } from "bun:test";
import { late, within } from "../../src/system/within.ts";
import { rejection } from "../support/rejection.ts";

test("within gives the outcome that came in time", async () => {
  expect(await within(Promise.resolve(7), 1000)).toBe(7);
  const failing = within(Promise.reject(new RangeError("no")), 1000);
  expect(await rejection(failing)).toBeInstanceOf(RangeError);
});

test("within gives late, and looks after what fails afterwards", async () => {
  const { promise, reject } = Promise.withResolvers<number>();
  expect(await within(promise, 5)).toBe(late);
  // Unhandled, this would end the test run.
  reject(new RangeError("too late"));
  await Bun.sleep(5);
});
