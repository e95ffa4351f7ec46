import { afterAll, beforeAll, expect, test } from "bun:test";
import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { publicKeyOf, scriptWithKeys, signFile } from "../../build/release/signing.ts";
import { isSignedBy, parseReleaseKeys } from "../../src/roles/client/update/ssh-signature.ts";
import { rejection } from "../support/rejection.ts";
import { makeKey } from "../support/release-host.ts";

let folder: string;
let key: string;
let line: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "fv-signing-"));
  key = join(folder, "key");
  line = await makeKey(key);
});
afterAll(async () => rm(folder, { recursive: true }));

test("publicKeyOf gives the public half without its comment", async () => {
  expect(await publicKeyOf(key)).toBe(line.replace(/ releases$/, ""));
});

test("publicKeyOf refuses a key that others can read, one of another kind, and what is none", async () => {
  await chmod(key, 0o640);
  expect((await rejection(publicKeyOf(key))).message).toContain("chmod 600");
  await chmod(key, 0o600);
  const rsa = join(folder, "rsa");
  Bun.spawnSync(["ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-N", "", "-f", rsa]);
  expect((await rejection(publicKeyOf(rsa))).message).toContain("no ed25519 key");
  const none = join(folder, "none");
  await writeFile(none, "nothing", { mode: 0o600 });
  expect((await rejection(publicKeyOf(none))).message).toStartWith("ssh-keygen: ");
});

test("signFile signs what the client takes, and again the same", async () => {
  const path = join(folder, "sums");
  await writeFile(path, "text");
  await signFile(key, path);
  const first = await readFile(`${path}.sig`, "utf8");
  expect(isSignedBy(parseReleaseKeys(line) ?? [], Buffer.from("text"), first)).toBe(true);
  await signFile(key, path);
  expect(await readFile(`${path}.sig`, "utf8")).toBe(first);
});

test("scriptWithKeys writes the keys into the one place for them, and nothing that a shell would run", async () => {
  const script = join(import.meta.dir, "../../build/release/install.sh");
  const plain = await readFile(script, "utf8");
  expect(await scriptWithKeys(script, "")).toBe(plain);
  const keyed = await scriptWithKeys(script, "ssh-ed25519 AAAA\nssh-ed25519 BB+/ $(reboot)}");
  expect(keyed.split("\n").filter((each) => !plain.split("\n").includes(each))).toEqual([
    "key=${FLY_VAULT_RELEASE_KEY:-ssh-ed25519 AAAA",
    "ssh-ed25519 BB+/}",
  ]);
  const odd = await rejection(scriptWithKeys(script, "ssh-ed25519 AA$(reboot)"));
  expect(odd.message).toContain("No public key");
  expect((await rejection(scriptWithKeys(key, ""))).message).toContain("no place");
});
