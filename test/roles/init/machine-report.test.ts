import { expect, test } from "bun:test";
import * as v from "valibot";
import { FrameStream } from "../../../src/protocol/frame.ts";
import { reportSchema, request } from "../../../src/protocol/message.ts";
import { TestMachine } from "./machine.ts";

test("init says how it is, and goes when it is asked", async () => {
  await using machine = await TestMachine.boot();
  const ask = async () =>
    request(new FrameStream(await machine.connect()), { type: "report" }, reportSchema);
  const idle = await ask();
  expect(idle.sessions_running).toBe(0);
  expect(Math.abs(idle.clock_ms - Date.now())).toBeLessThan(10_000);
  expect(idle.disk?.total_bytes).toBeGreaterThan(idle.disk?.available_bytes ?? Infinity);
  expect(idle.memory?.available_bytes).toBeGreaterThan(0);

  await machine.open({ argv: ["sleep", "100"] });
  const busy = await ask();
  expect(busy).toMatchObject({ sessions_running: 1, sessions_attached: 1 });
  expect(busy.uptime_ms).toBeGreaterThanOrEqual(idle.uptime_ms);

  await request(new FrameStream(await machine.connect()), { type: "power-off" }, v.object({}));
  await machine.untilLogged('"event":"stopped"');
});
