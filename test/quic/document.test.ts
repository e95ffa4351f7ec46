import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { quicLimits } from "../../src/quic/limits.ts";
import { looseMessage } from "../../src/quic/loose-message.ts";

const page = readFileSync(new URL("../../docs/transport.md", import.meta.url), "utf8");

test("docs/transport.md has the limits as they are", () => {
  const rows = [...page.matchAll(/^\| `(\w+)` +\| (\d+) +\|/gm)];
  expect(rows.length).toBeGreaterThan(10);
  const limits = new Map<string, number>(Object.entries(quicLimits));
  for (const [, name = "", value] of rows)
    expect([name, limits.get(name)]).toEqual([name, Number(value)]);
});

test.each(["challenge", "answer", "client-blocked", "machine-blocked"] as const)(
  "docs/transport.md has the vector of %s",
  (kind) => {
    const key = new Uint8Array(32).fill(3);
    const number = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);
    const message = Buffer.from(looseMessage(kind, key, new Uint8Array(20), number));
    const [, tag] = new RegExp(`^ {4}${kind} +([0-9a-f]{32})$`, "m").exec(page) ?? [];
    expect(message.subarray(29).toString("hex")).toBe(tag ?? "");
  },
);
