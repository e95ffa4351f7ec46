import { expect, test } from "bun:test";
import {
  allowsPort,
  parsePortPattern,
} from "../../../../src/roles/client/forward/auto-forward-rules.ts";

const patterns = (...texts: string[]) =>
  texts.map((text) => {
    const pattern = parsePortPattern(text);
    if (pattern === undefined) throw new Error(text);
    return pattern;
  });

test("without a list: neither the system's own ports nor those anybody gets", () => {
  const allowed = [22, 80, 1023, 1024, 5173, 32_767, 32_768, 65_535].filter((port) =>
    allowsPort([], port),
  );
  expect(allowed).toEqual([1024, 5173, 32_767]);
});

test("ports that are named are the only ones; what is denied never is", () => {
  const named = patterns("80", "3000-3999", "!3306", "50000");
  const ports = [80, 3000, 3306, 3999, 4000, 5173, 50_000];
  expect(ports.filter((port) => allowsPort(named, port))).toEqual([80, 3000, 3999, 50_000]);
  const denied = patterns("!9229", "!5000-5999");
  expect([9229, 5173, 8080].filter((port) => allowsPort(denied, port))).toEqual([8080]);
});

test.each(["", "0", "!", "65536", "9-3", "1-2-3", "x", "!!5", " 5", "5173/udp"])(
  "%p is no pattern",
  (text) => {
    expect(parsePortPattern(text)).toBeUndefined();
  },
);
