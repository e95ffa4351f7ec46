import { expect, test } from "bun:test";
import { untilIdle } from "../../../src/roles/init/ssh/until-idle.ts";

test("whoever comes in time keeps the process; the pause counts from the last one", async () => {
  let busyLooks = 5;
  let looks = 0;
  await untilIdle(
    () => {
      looks += 1;
      busyLooks -= 1;
      return busyLooks > 0;
    },
    { idleMs: 1000, lookMs: 10 },
  );
  expect(looks).toBeGreaterThan(8);
  expect(looks).toBeLessThan(130);
});
