import { expect, test } from "bun:test";
import { clientLimits } from "../../../../src/roles/client/limits.ts";
import { LinkLooks } from "../../../../src/roles/client/shared-link/link-looks.ts";

test("the link is looked at seldom once no command uses it, and often from the next one on", async () => {
  const told: number[] = [];
  const looks = new LinkLooks(() => undefined, 20);
  const over = looks.request();
  looks.follow({ lookEvery: (everyMs) => void told.push(everyMs) });
  await Bun.sleep(60);
  expect(told).toEqual([]);
  over();
  while (told.length === 0) await Bun.sleep(1);
  const next = looks.request();
  expect(told).toEqual([clientLimits.restLookMs, clientLimits.watchEveryMs]);
  next();
  looks.close();
});

test("once it is closed the link is looked at no other way, also when a command ends that was there", async () => {
  const told: number[] = [];
  const looks = new LinkLooks(() => undefined, 20);
  looks.follow({ lookEvery: (everyMs) => void told.push(everyMs) });
  const over = looks.request();
  looks.close();
  over();
  await Bun.sleep(60);
  looks.request()();
  expect(told).toEqual([]);
});

test("a look that comes late at rest is not taken for a sleep", () => {
  expect(2 * clientLimits.restLookMs).toBeLessThan(clientLimits.clockJumpMs);
});
