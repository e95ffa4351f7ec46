import { expect, test } from "bun:test";
import { lastExit } from "../../../src/roles/admin/exit-event.ts";

const machine = (events: readonly unknown[]) => Object({ id: "m", state: "stopped", events });
const exit = (timestamp: number, exit_event: object) => ({
  type: "exit",
  status: "stopped",
  timestamp,
  request: { exit_event },
});

const words = (event: object) => lastExit(machine([exit(5, event)]));
const start = (source: string) => ({ type: "start", status: "starting", source, timestamp: 6 });

test("how a machine ended is told in a few words", () => {
  expect(words({ exit_code: 3, guest_exit_code: 3, guest_signal: -1 })).toBe("exit code 3");
  expect(words({ exit_code: 0 })).toBe("exit code 0");
  expect(words({ guest_exit_code: 7, exit_code: null })).toBe("exit code 7");
  expect(words({ exit_code: 137, guest_signal: 9 })).toBe("signal 9");
  expect(words({ guest_signal: "SIGSEGV" })).toBe("signal SIGSEGV");
  expect(words({ exit_code: 137, oom_killed: true })).toBe("out of memory");
  expect(words({})).toBe("nobody saw how");
});

test("only what happened since the machine was made or changed counts, and only if nobody asked for it", () => {
  expect(lastExit(machine([]))).toBeUndefined();
  expect(lastExit(Object({ id: "m", state: "stopped" }))).toBeUndefined();
  expect(lastExit(machine([exit(5, { exit_code: 0, requested_stop: true })]))).toBeUndefined();
  const update = { type: "update", status: "stopped", timestamp: 6 };
  expect(lastExit(machine([update, exit(5, { exit_code: 1 })]))).toBeUndefined();
  expect(lastExit(machine([exit(7, { exit_code: 2 }), update]))).toBe("exit code 2");
  expect(lastExit(machine([start("user"), exit(5, { exit_code: 1 })]))).toBeUndefined();
  expect(lastExit(machine([start("flyd"), exit(5, { exit_code: 1 })]))).toBe("exit code 1");
  expect(lastExit(machine([{ odd: true }, null, { type: "exit", timestamp: 8 }]))).toBe(
    "nobody saw how",
  );
});
