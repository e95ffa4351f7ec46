import { expect, test } from "bun:test";
import { Rest } from "../../src/system/rest.ts";

function stage(): { rest: Rest; told: string[]; rested: () => Promise<void> } {
  const told: string[] = [];
  let wake: (() => void) | undefined;
  const rest = new Rest({
    afterMs: 20,
    onWork: () => void told.push("work"),
    onRest: () => {
      told.push("rest");
      wake?.();
    },
  });
  const rested = async (): Promise<void> =>
    new Promise((resolve) => {
      wake = resolve;
    });
  return { rest, told, rested };
}

test("it begins with work, rests when nothing is asked, and works again at the first request", async () => {
  const { rest, told, rested } = stage();
  expect(told).toEqual(["work"]);
  await rested();
  const over = rest.request();
  rest.request()();
  expect(told).toEqual(["work", "rest", "work"]);
  over();
  await rested();
  expect(told).toEqual(["work", "rest", "work", "rest"]);
});

test("it does not rest while a request is open, whatever has ended beside it", async () => {
  const { rest, told, rested } = stage();
  const over = rest.request();
  rest.request()();
  await Bun.sleep(60);
  expect(told).toEqual(["work"]);
  over();
  await rested();
  expect(told).toEqual(["work", "rest"]);
});

test.each(["before its time comes", "while a request is open", "at rest"])(
  "once it is closed nothing is told any more: %s",
  async (when) => {
    const { rest, told, rested } = stage();
    if (when === "at rest") await rested();
    const over = when === "while a request is open" ? rest.request() : undefined;
    rest.close();
    const toldBefore = [...told];
    over?.();
    rest.request()();
    await Bun.sleep(60);
    expect(told).toEqual(toldBefore);
  },
);
