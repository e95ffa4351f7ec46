import { expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { encodeJson, reportSchema } from "../../../../src/protocol/message.ts";
import { MeteredStream, TrafficMark } from "../../../../src/roles/init/idle/traffic-mark.ts";
import { initLimits } from "../../../../src/roles/init/limits.ts";
import { memoryPair } from "../../../support/memory-stream.ts";
import { ask, eventually } from "../ask.ts";
import { TestMachine } from "../machine.ts";

/** A machine that stops when nobody uses it, with a real init. The pure part is in idle-timer.test.ts. */

setDefaultTimeout(120_000);

const stopping = { env: { VAULT_IDLE_STOP: "3s" } };
const idleOf = async (machine: TestMachine) =>
  (await ask(machine, { type: "report" }, reportSchema)).idle;

test("who sits at a prompt is warned, a key keeps it up, and then it stops as by poweroff", async () => {
  await using machine = await TestMachine.boot(stopping);
  const shell = await machine.open({ tty: true, name: "main" });
  await shell.until("# ");
  await shell.until("this machine stops in 1.5 s; any key keeps it up");
  const typedMs = performance.now();
  await shell.write(" ");
  await eventually(
    async () => idleOf(machine),
    (idle) => idle !== undefined && idle.idle_ms < 1000,
  );
  await machine.untilLogged('"event":"stopped"');
  expect(performance.now() - typedMs).toBeGreaterThan(3000);
  expect(machine.log).toContain('"reason":"power-off"');
  expect(machine.log.match(/idle-warning/g)).toHaveLength(2);
});

test("what runs, and what passes the link, keeps it up; a reader does not", async () => {
  await using machine = await TestMachine.boot(stopping);
  // A pipe, and a program in the foreground of a terminal, one after the other.
  await machine.shell("sleep 2");
  const shell = await machine.open({ tty: true });
  await shell.write("sleep 2222\n");
  await machine.descendant("sleep 2222");
  await Bun.sleep(1900);
  expect((await idleOf(machine))?.idle_ms).toBeLessThan(1000);
  expect(machine.log).not.toContain("idle-warning");
  await shell.write("\x03");
  await eventually(
    async () => idleOf(machine),
    (idle) => idle !== undefined && idle.idle_ms > 500,
  );
  // As the link does where bytes of a forward pass.
  writeFileSync(join(machine.runDir, "traffic"), "");
  const idle = await idleOf(machine);
  expect(idle?.stop_after_ms).toBe(3000);
  expect(idle?.idle_ms).toBeLessThan(500);
});

test("a machine that was not told to says nothing of it", async () => {
  await using machine = await TestMachine.boot();
  expect(await idleOf(machine)).toBeUndefined();
});

test("bytes of a stream that counts are noted, written and read", async () => {
  await using machine = new TestMachine({ rootfs: null });
  const { near, far } = memoryPair();
  await far.write(encodeJson({}));
  for (const pass of [
    async (stream: MeteredStream) => stream.write(encodeJson({})),
    async (stream: MeteredStream) => stream.read(),
  ]) {
    const path = join(machine.folder, crypto.randomUUID());
    const stream = new MeteredStream(near, new TrafficMark(path));
    await stream.write(encodeJson({}));
    expect(existsSync(path)).toBeFalse();
    stream.counts = true;
    await pass(stream);
    expect(existsSync(path)).toBeTrue();
  }
});

test("they are noted at most once a second", async () => {
  await using machine = new TestMachine({ rootfs: null });
  const path = join(machine.folder, "mark");
  const mark = new TrafficMark(path);
  const longAgo = 1_000_000;
  /** Whether the file has another time than one that was set: the clock of files may tick rarely. */
  const isNoted = (nowMs: number): boolean => {
    writeFileSync(path, "");
    utimesSync(path, longAgo, longAgo);
    mark.passed(nowMs);
    return statSync(path).mtimeMs !== longAgo * 1000;
  };
  const { trafficTellMs } = initLimits;
  const times = [5000, 5001, 5000 + trafficTellMs - 1, 5000 + trafficTellMs];
  expect(times.map(isNoted)).toEqual([true, false, false, true]);
});
