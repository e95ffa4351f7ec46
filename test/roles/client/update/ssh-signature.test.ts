import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isSignedBy, parseReleaseKeys } from "../../../../src/roles/client/update/ssh-signature.ts";
import { makeKey, sign } from "../../../support/release-host.ts";

const text = "what a release consists of\n";
const bytes = Buffer.from(text);
let folder: string;
let line: string;
let other: string;
let signature: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "fv-keys-"));
  line = await makeKey(join(folder, "key"));
  other = await makeKey(join(folder, "other"));
  signature = await sign(join(folder, "key"), text);
});
afterAll(async () => rm(folder, { recursive: true }));

const keys = (lines: string) => parseReleaseKeys(lines) ?? [];

test("isSignedBy takes what ssh-keygen signed, by any of the keys", () => {
  expect(isSignedBy(keys(line), bytes, signature)).toBe(true);
  expect(isSignedBy(keys(`${other}\n${line}\n`), bytes, signature)).toBe(true);
  expect(isSignedBy(keys(line), bytes, signature.replaceAll("\n", "\r\n"))).toBe(true);
});

test("isSignedBy refuses another key, another text, another purpose", async () => {
  expect(isSignedBy(keys(other), bytes, signature)).toBe(false);
  expect(isSignedBy([], bytes, signature)).toBe(false);
  expect(isSignedBy(keys(line), Buffer.from("what a release consists of"), signature)).toBe(false);
  const mail = await sign(join(folder, "key"), text, "email");
  expect(isSignedBy(keys(line), bytes, mail)).toBe(false);
});

test("a signature with any bit turned, cut short or grown is none", () => {
  const [head = "", ...rest] = signature.trim().split("\n");
  const tail = rest.pop() ?? "";
  const blob = Buffer.from(rest.join(""), "base64");
  const armoured = (changed: Uint8Array) =>
    `${head}\n${Buffer.from(changed).toString("base64")}\n${tail}\n`;
  expect(isSignedBy(keys(line), bytes, armoured(blob))).toBe(true);
  for (let bit = 0; bit < blob.length * 8; bit += 1) {
    const changed = Buffer.from(blob);
    changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    expect(isSignedBy(keys(line), bytes, armoured(changed))).toBe(false);
  }
  for (let length = 0; length < blob.length; length += 1)
    expect(isSignedBy(keys(line), bytes, armoured(blob.subarray(0, length)))).toBe(false);
  expect(isSignedBy(keys(line), bytes, armoured(Buffer.concat([blob, Buffer.alloc(4)])))).toBe(
    false,
  );
  for (const nonsense of ["", head, "-----BEGIN SSH SIGNATURE-----\n!\n-----END"])
    expect(isSignedBy(keys(line), bytes, nonsense)).toBe(false);
});

test("parseReleaseKeys takes lines of ed25519 keys and nothing else", () => {
  expect(parseReleaseKeys("")).toEqual([]);
  expect(parseReleaseKeys(`${line}\n\n${other}`)).toHaveLength(2);
  const blob = line.split(" ")[1] ?? "";
  for (const wrong of ["x", `ssh-rsa ${blob}`, `ssh-ed25519 ${blob.slice(0, -8)}`, "ssh-ed25519"])
    expect(parseReleaseKeys(`${line}\n${wrong}`)).toBeUndefined();
});
