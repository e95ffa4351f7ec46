import { afterEach, beforeEach, expect, test } from "bun:test";
import {
  chmodSync,
  fstatSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Failure } from "../../../../src/cli/failure.ts";
import { formatProxyMaster } from "../../../../src/quic/proxy-master.ts";
import { brokerLimits } from "../../../../src/roles/proxy/broker/broker-limits.ts";
import { main } from "../../../../src/roles/proxy/main.ts";
import { hideSecrets, takeSecrets } from "../../../../src/roles/proxy/broker/proxy-secrets.ts";
import { memoryFile } from "../../../../src/system/process.ts";
import { memoryContext } from "../../../support/memory-context.ts";

const keyOf = (epoch: number, byte = 7): string =>
  formatProxyMaster({ epoch, master: new Uint8Array(32).fill(byte) });

let folder: string;
let keyFile: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "fv-secrets-"));
  keyFile = join(folder, "key");
});

afterEach(() => {
  rmSync(folder, { recursive: true });
});

/** As the program leaves them to itself. */
function left(secrets: { token?: string; key?: string }): { VAULT_PROXY_SECRETS_FD: string } {
  const fd = memoryFile("test");
  writeSync(fd, JSON.stringify(secrets));
  return { VAULT_PROXY_SECRETS_FD: String(fd) };
}

async function failureOf(work: Promise<unknown>): Promise<Failure> {
  const error = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error instanceof Failure) return error;
  throw new Error(`No failure: ${String(error)}`);
}

const closed = { keyFile: undefined, open: false };

test("token and key are taken over once, and the memory they were in is gone", async () => {
  const env = left({ token: " FlyV1 fm2_x\n", key: ` ${keyOf(1)}\n${keyOf(2)}\n` });
  expect(await takeSecrets(env, closed)).toEqual({
    token: "FlyV1 fm2_x",
    masters: `${keyOf(1)},${keyOf(2)}`,
  });
  expect(() => fstatSync(Number(env.VAULT_PROXY_SECRETS_FD))).toThrow();
});

test("the key may be in a file that others cannot write", async () => {
  writeFileSync(keyFile, `${keyOf(4)}\n`, { mode: 0o600 });
  const taken = await takeSecrets(left({ token: "t" }), { keyFile, open: false });
  expect(taken.masters).toBe(keyOf(4));
  chmodSync(keyFile, 0o666);
  const refused = await failureOf(takeSecrets(left({ token: "t" }), { keyFile, open: false }));
  expect(refused.code).toBe("FV-PRX-001");
  expect(refused.because).toContain("can be written by others");
});

test.each([
  ["no key", {}, "the proxy has no key", "proxy-key new --key-file"],
  ["an empty key", { key: " \n" }, "the proxy has no key", "proxy-key new --key-file"],
  ["a mistyped key", { key: "fvp1_9_x" }, "the key cannot be read", "proxy-key show --key-file"],
  [
    "a key of zeros",
    { key: keyOf(1, 0) },
    "the key is nothing but zeros",
    "proxy-key new --key-file",
  ],
  ["two keys of one epoch", { key: `${keyOf(1)},${keyOf(1, 8)}` }, "cannot be read", "proxy-key"],
])("%s: it refuses to start, says why, and does not show the key", async (_, given, words, fix) => {
  const failure = await failureOf(takeSecrets(left({ token: "t", ...given }), closed));
  expect(failure.code).toBe("FV-PRX-001");
  expect(failure.message).toContain(words);
  expect(failure.fix).toContain(fix);
  expect(`${failure.message} ${failure.because}`).not.toContain("fvp1_1");
});

test.each([
  ["is not there", () => undefined, "there is no key file"],
  [
    "is too long",
    () => writeFileSync(keyFile, "x".repeat(brokerLimits.keyFileBytesMax + 1)),
    "cannot be used",
  ],
  ["is given beside the variable", () => writeFileSync(keyFile, keyOf(2)), "there are two keys"],
])("a key file that %s", async (_, make, words) => {
  make();
  const secrets = { token: "t", key: keyOf(1) };
  const failure = await failureOf(takeSecrets(left(secrets), { keyFile, open: false }));
  expect(failure.message).toContain(words);
});

test.each([
  ["is missing", () => undefined],
  ["is a folder", () => mkdirSync(keyFile)],
  ["is a link", () => symlinkSync("/dev/null", keyFile)],
  ["can be written by others", () => (writeFileSync(keyFile, keyOf(1)), chmodSync(keyFile, 0o666))],
])("a key file that %s: what to do can be done as it stands", async (_, prepare) => {
  prepare();
  const { code, fix } = await failureOf(
    takeSecrets(left({ token: "t" }), { keyFile, open: false }),
  );
  expect(code).toBe("FV-PRX-001");
  expect(fix).toMatch(/proxy-key [a-z]+ --key-file|chmod go-w /);
});

test("with --open no key is needed, and none may be of the epoch that it uses", async () => {
  const open = { keyFile: undefined, open: true };
  expect(await takeSecrets(left({ token: "t" }), open)).toEqual({
    token: "t",
    masters: undefined,
  });
  expect((await takeSecrets(left({ token: "t", key: keyOf(6) }), open)).masters).toBe(keyOf(6));
  const failure = await failureOf(takeSecrets(left({ token: "t", key: keyOf(7) }), open));
  expect(failure.message).toContain("epoch 7");
});

test("without a token it refuses to start", async () => {
  expect((await failureOf(takeSecrets(left({ key: keyOf(1) }), closed))).code).toBe("FV-API-002");
  expect((await failureOf(takeSecrets({}, { ...closed, open: true }))).code).toBe("FV-API-002");
});

test("hideSecrets leaves a process alone that has none, and refuses what is too long", () => {
  hideSecrets([], { PATH: "/bin" });
  const token = "x".repeat(brokerLimits.secretsBytesMax);
  expect(() => hideSecrets([], { FLY_API_TOKEN: token })).toThrow("too long");
});

test("a token or a key on the command line is not even a flag", async () => {
  for (const flag of ["--api-token=x", "--key=x"]) {
    const context = memoryContext();
    expect(await main(["--app", "a", flag], context)).toBe(2);
    expect(context.err()).toContain("unknown flag");
  }
});
