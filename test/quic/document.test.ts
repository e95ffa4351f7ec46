import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { sealAdmission } from "../../src/quic/admission-header.ts";
import { deriveAdmissionKey, formatAdmissionKey } from "../../src/quic/admission-key.ts";
import { sealHint } from "../../src/quic/admission-hint.ts";
import { quicLimits } from "../../src/quic/limits.ts";
import { looseMessage, looseMessages } from "../../src/quic/loose-message.ts";
import { idKeys, routedId } from "../../src/quic/routed-id.ts";

const page = readFileSync(new URL("../../docs/transport.md", import.meta.url), "utf8");

test("docs/transport.md has the limits as they are", () => {
  const rows = [...page.matchAll(/^\| `(\w+)` +\| (\d+) +\|/gm)];
  expect(rows.length).toBeGreaterThan(10);
  const limits = new Map<string, unknown>(Object.entries(quicLimits));
  for (const [, name = "", value] of rows)
    expect([name, limits.get(name)]).toEqual([name, Number(value)]);
});

test.each(looseMessages)("docs/transport.md has the vector of %s", (kind) => {
  const key = new Uint8Array(32).fill(3);
  const number = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);
  const message = Buffer.from(looseMessage(kind, key, new Uint8Array(20), number));
  const [, tag] = new RegExp(`^ {4}${kind} +([0-9a-f]{32})$`, "m").exec(page) ?? [];
  expect(message.subarray(29).toString("hex")).toBe(tag ?? "");
});

test("docs/transport.md has the vectors of admission", () => {
  const key = deriveAdmissionKey(new Uint8Array(32).fill(5), 3, "148e21ea7e46e8");
  const sealed = sealAdmission(key, bytes(1200, 0xc3), 1_800_000_000, bytes(3, 1));
  const hint = sealHint(key, { state: "starting", timeS: 1_800_000_000, tagStart: bytes(8, 4) });
  const id = routedId(key, idKeys(key), bytes(7, 2));
  for (const [name, made] of [
    ["key", formatAdmissionKey(key)],
    ["header", Buffer.from(sealed.subarray(0, 28)).toString("hex")],
    ["hint", Buffer.from(hint).toString("hex")],
    ["id", Buffer.from(id).toString("hex")],
  ] as const) {
    const [, written] = new RegExp(`^ {4}${name} +(\\S+)$`, "m").exec(page) ?? [];
    expect([name, written]).toEqual([name, made]);
  }
});

function bytes(length: number, value: number): Uint8Array {
  return new Uint8Array(length).fill(value);
}
