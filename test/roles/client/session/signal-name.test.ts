import { constants } from "node:os";
import { expect, test } from "bun:test";
import { parseSignal, signalName } from "../../../../src/roles/client/session/signal-name.ts";

test("names are those of Linux", () => {
  for (const [name, number] of Object.entries(constants.signals)) {
    // Second names of SIGABRT and SIGIO, and one that Linux calls unused.
    if (["SIGIOT", "SIGPOLL", "SIGUNUSED"].includes(name)) continue;
    expect(signalName(number)).toBe(name);
    for (const said of [name, name.slice(3), name.toLowerCase(), String(number)])
      expect(parseSignal(said)).toBe(number);
  }
  expect(signalName(40)).toBe("signal 40");
});

test.each(["", "0", "65", "-9", "SIG", "TERMINATE", "9x", "1.5", "SIGSIGINT"])(
  "%j is none",
  (said) => {
    expect(parseSignal(said)).toBeUndefined();
  },
);
