import { expect, test } from "bun:test";
import { type ExpectedMachine, verifyEvidence } from "../../src/fly/attestation.ts";
import { AttestationError } from "../../src/fly/attestation-error.ts";
import { aud, expected, key, nowMs, type Result, rows, valid } from "../support/jwt-corpus.ts";

for (const row of rows) {
  test(`${row.row}: ${row.name}: ${row.is}`, async () => {
    expect(await verdict(row.token, row.expected)).toBe(row.is);
  });
}

test("every row of the corpus is there", () => {
  expect([...new Set(rows.map((row) => row.row))].toSorted((a, b) => a - b)).toEqual(
    Array.from({ length: 48 }, (_, index) => index),
  );
});

test("random changes of one byte never pass", async () => {
  const bytes = Buffer.from(valid);
  for (let at = 0; at < bytes.length; at += 7) {
    const changed = Buffer.from(bytes);
    changed[at] = (changed[at] ?? 0) ^ 0x01;
    expect(await verdict(changed.toString("latin1"))).not.toBe("accepted");
  }
});

async function verdict(token: string, changes: Partial<ExpectedMachine> = {}): Promise<Result> {
  try {
    await verifyEvidence(
      new Uint8Array(Buffer.from(token, "latin1")),
      { ...expected, ...changes },
      {
        key: (kid) => {
          if (kid !== key.kid) throw new AttestationError("key", "unknown");
          return Promise.resolve(key.publicJwk);
        },
        audience: () => aud,
        helloMs: nowMs,
        nowMs,
      },
    );
    return "accepted";
  } catch (error) {
    if (error instanceof AttestationError) return error.code;
    throw error;
  }
}
