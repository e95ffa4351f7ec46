import { afterAll, afterEach, expect, spyOn, test } from "bun:test";
import { PreparedSpawn } from "../../src/system/process-spawn.ts";
import { ChildReaper } from "../../src/system/reaper.ts";

let clock = (): void => undefined;
const interval = spyOn(globalThis, "setInterval").mockImplementation(((look: () => void) => {
  clock = look;
  return undefined;
}) as unknown as typeof setInterval);
afterAll(() => interval.mockRestore());
afterEach(() => {
  clock = () => undefined;
});

test("the signal alone finds every end, also among children of Bun's own", async () => {
  const reaper = new ChildReaper();
  const others = (async () => {
    for (let turn = 0; turn < 20; turn++) await Bun.spawn(["true"]).exited;
  })();
  const codes = Array.from({ length: 60 }, (_, index) => index % 7);
  const ends = codes.map(async (code) => reaper.ended(start(`exit ${code}`)));
  expect(await Promise.all(ends)).toEqual(codes.map((code) => ({ kind: "exited", code })));
  await others;
  expect(interval).toHaveBeenCalled();
});

test("the clock finds one whose signal was lost, and a kill is told as such", async () => {
  const reaper = new ChildReaper(() => true);
  const before = process.listeners("SIGCHLD");
  const end = reaper.ended(start("kill -9 $$"));
  for (const listener of process.listeners("SIGCHLD"))
    if (!before.includes(listener)) process.off("SIGCHLD", listener);
  const looking = (async () => {
    for (let look = 0; look < 500; look++) {
      await Bun.sleep(10);
      clock();
    }
  })();
  expect(await end).toEqual({ kind: "killed", signal: 9, outOfMemory: true });
  void looking;
});

function start(script: string): number {
  const argv = ["sh", "-c", script];
  const spawn = new PreparedSpawn({ path: "/bin/sh", argv, env: {}, stdio: [0, 1, 2] });
  const pid = spawn.start();
  spawn.release();
  return pid;
}
