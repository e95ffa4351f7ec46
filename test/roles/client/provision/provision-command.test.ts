import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { RemoteError } from "../../../../src/protocol/errors.ts";
import { main } from "../../../../src/roles/client/main.ts";
import { memoryContext } from "../../../support/memory-context.ts";
import { TestVault } from "../../../support/test-vault.ts";
import { jsonOutputs } from "../../../../src/roles/client/json-outputs.ts";
import { checkPrintedJson } from "../../../support/printed-json.ts";

let vault: TestVault;
let path: string;
const archive = new Uint8Array(300_000).fill(7);
const digest = new Bun.CryptoHasher("sha256").update(archive).digest("hex");

beforeEach(async () => {
  vault = await TestVault.open();
  path = join(vault.folder, "other.tar");
  await writeFile(path, archive);
});
afterEach(async () => {
  await vault.close();
});

async function client(words: readonly string[], options: { tty?: boolean } = {}) {
  const context = memoryContext({ env: vault.env, columns: 100, ...options });
  const code = await main(words, context);
  checkPrintedJson(jsonOutputs, words, context.out());
  return { code, out: context.out(), err: context.err() };
}

test("--from a file: uploaded, with one line for each phase in a pipe, and the digest at the end", async () => {
  vault.lastPhases = ["unpack", "sync", "switch", "boot"];
  const { code, out, err } = await client(["provision", "dev", "--from", path]);
  expect({ code, out }).toEqual({ code: 0, out: "" });
  expect(vault.requests[0]).toMatchObject({ source: { kind: "upload", size_bytes: 300_000 } });
  expect(err.replace(/in [\d.]+ m?s\n$/, "in TIME\n")).toBe(
    [
      `provisioning "dev" from ${path} (293.0 KiB)`,
      "upload done · unpack 1 entries 2 B · sync",
      "upload done · unpack 1 entries 2 B · switch",
      "upload done · unpack 1 entries 2 B · boot",
      `"dev" has its root filesystem: 3 entries, 293.0 KiB, sha256 ${digest} in TIME`,
      "",
    ].join("\n"),
  );
});

test("--from a folder: packed, uploaded, and what was packed is removed", async () => {
  const root = join(vault.folder, "root");
  await mkdir(join(root, "etc"), { recursive: true });
  await writeFile(join(root, "etc/motd"), "hello");
  const { code, err } = await client(["provision", "dev", "--from", `dir:${root}`, "-q"]);
  expect({ code, err }).toEqual({ code: 0, err: "" });
  expect(vault.uploaded).toBeGreaterThan(100);
  const cache = join(vault.folder, "cache/fly-vault");
  expect((await readdir(cache)).filter((name) => name.startsWith("rootfs-"))).toEqual([]);
  const missing = await client(["provision", "dev", "--from", `dir:${root}/none`]);
  expect(missing.code).toBe(3);
});

test("on a terminal there is one line that is redrawn", async () => {
  vault.lastPhases = ["unpack", "sync", "switch"];
  vault.beforeDone = async () => Bun.sleep(400);
  const { err } = await client(["provision", "dev", "--from", path], { tty: true });
  expect(err).not.toContain("provisioning");
  expect(err).toMatch(/2Kupload done · unpack 1 entries 2 B( · \w+)?\r/);
  expect(err).toMatch(/2K"dev" has its root filesystem[^\n]*\n$/);
});

test("--json is one line on stdout for programs, and errors too", async () => {
  vault.skipped = ["2 × device, first dev/sda"];
  const done = await client(["provision", "dev", "--from", path, "--json", "-q"]);
  expect(done).toMatchObject({ code: 0, err: "" });
  expect(JSON.parse(done.out)).toEqual({
    type: "result",
    schema: "fly-vault/provision",
    version: 1,
    sha256: digest,
    entries: 3,
    written_bytes: 300_000,
    sent_bytes: 300_000,
    archive_bytes: 300_000,
    skipped: vault.skipped,
  });
  vault.uploads.clear();
  vault.provisionAnswer = () => new RemoteError("disk-full", "1 byte free");
  const failed = await client(["provision", "dev", "--from", path, "--json", "-q"]);
  expect(failed).toMatchObject({ code: 1, out: "" });
  expect(JSON.parse(failed.err)).toMatchObject({ error: { code: "FV-PROV-004", exit: 1 } });
});

test("what was left out of the archive is told, without its control characters", async () => {
  vault.skipped = ["1 × device, first a\u{1b}[2Jb"];
  const { err } = await client(["provision", "dev", "--from", path]);
  expect(err).toEndWith("left out: 1 × device, first a [2Jb\n");
});

test("without --from the configuration says what, and its digest goes with it", async () => {
  await vault.configure({ rootfs: "other.tar", rootfs_sha256: digest });
  expect((await client(["provision", "dev"])).code).toBe(0);
  expect(vault.requests[0]).toMatchObject({ source: { kind: "upload" }, sha256: digest });
  await vault.configure({ rootfs_url: "https://example.com/r.tar", rootfs_sha256: digest });
  expect((await client(["provision", "dev"])).code).toBe(0);
  expect(vault.requests[1]).toMatchObject({ source: { kind: "url" }, sha256: digest });
});

test("--sha256 is the pin of --from; the configuration's is about its own archive", async () => {
  await vault.configure({ rootfs: "missing.tar", rootfs_sha256: "0".repeat(64) });
  await client(["provision", "dev", "--from", path]);
  expect(vault.requests[0]).not.toHaveProperty("sha256");
  const url = "https://example.com/r.tar";
  await client(["provision", "dev", "--from", url, "--sha256", digest.toUpperCase()]);
  expect(vault.requests[1]).toMatchObject({ source: { kind: "url", url }, sha256: digest });
});

test("--rollback sends nothing but the wish", async () => {
  vault.lastPhases = ["switch", "boot"];
  const { code, err } = await client(["provision", "dev", "--rollback"]);
  expect(code).toBe(0);
  expect(vault.requests[0]).toMatchObject({ type: "provision", source: { kind: "previous" } });
  expect(err).toContain('taking "dev" back to its previous root filesystem\n');
  expect(err).toMatch(/\nboot\n"dev" is back at its previous root filesystem, sha256 /);
});

test("--rollback names the one it leaves: asked again after that, the machine does nothing", async () => {
  vault.rootfsSha256 = digest;
  vault.beforeDone = async () => {
    vault.beforeDone = undefined;
    vault.rootfsSha256 = "0".repeat(64);
    await vault.restartLink();
  };
  expect((await client(["provision", "dev", "--rollback"])).code).toBe(0);
  const source = { kind: "previous", instead_of: digest };
  expect(vault.requests).toMatchObject([{ source }, { source }]);
});

test("with nothing to go back to it says so", async () => {
  vault.onRequest = ({ type }) =>
    type === "provision" ? new RemoteError("not-found", "There is none") : undefined;
  const { code, err } = await client(["provision", "dev", "--rollback"]);
  expect(code).toBe(3);
  expect(err).toContain('error: "dev" has no previous root filesystem\n  cause: There is none\n');
  expect(err).toContain("FV-PROV-009");
});

test.each([
  [["--rollback", "--from", "x"], "--rollback takes no --from"],
  [["--rollback", "--whole"], "--rollback takes no --whole"],
  [["--rollback", "--sha256", "ab".repeat(32)], "--rollback takes no --sha256"],
  [["--sha256", "abc"], "--sha256 must be 64 hexadecimal digits"],
  [["--from", "docker://debian"], "--from must be a file, or an http(s) URL"],
  [["--from", "ftp://example.com/x"], "--from must be a file, or an http(s) URL"],
  [["--from", "https://me:secret@example.com/x"], "without a password"],
  [["--from", ""], "--from is empty"],
  [["--reconnect", "soon"], "--reconnect must be a duration"],
  [["extra"], "extra"],
] as const)("%j is a mistake: exit 2, nothing sent", async (words, says) => {
  const { code, err } = await client(["provision", "dev", ...words]);
  expect(code).toBe(2);
  expect(err).toContain(says);
  expect(err.split("\n")[1]).toStartWith("usage: fly-vault provision ");
  expect(vault.mints).toBe(0);
});

test("a file that is missing, a folder, a pipe, or nothing named: told before anything is sent", async () => {
  await mkdir(join(vault.folder, "folder"));
  Bun.spawnSync(["mkfifo", join(vault.folder, "pipe")]);
  for (const [from, says] of [
    ["missing", "there is no rootfs file"],
    ["folder", "fix:   pack it first"],
    ["pipe", "fix:   write it to a file first"],
    ["-", "fix:   write it to a file first"],
  ] as const) {
    const words = ["provision", "dev", "--from", from === "-" ? from : join(vault.folder, from)];
    const { code, err } = await client(words);
    expect(code).toBe(3);
    expect(err).toContain(says);
  }
  const none = await client(["provision", "dev"]);
  expect(none.code).toBe(2);
  expect(none.err).toContain("FV-CFG-006");
  expect(none.err).toContain("--from FILE");
  expect(vault.mints).toBe(0);
});

test("a machine that went back by itself is spoken of by every command, until it is quiet", async () => {
  vault.rolledBack = { sha256: digest, because: "its init ended after 2.0 s:\u{1b} exit code 7" };
  const line = `warning: "dev" went back to its previous root filesystem; the new one (sha256 ${digest.slice(0, 12)}…) did not stay up: its init ended after 2.0 s:  exit code 7\n`;
  for (const words of [
    ["exec", "dev", "--", "true"],
    ["connect", "dev"],
    ["provision", "dev", "--rollback"],
  ])
    expect((await client(words)).err).toStartWith(line);
  expect((await client(["exec", "-q", "dev", "--", "true"])).err).toBe("");
});

test("another client's provisioning is in the way", async () => {
  vault.vmState = "provisioning";
  vault.onRequest = ({ type }) =>
    type === "provision" ? new RemoteError("busy", "Another provisioning is under way") : undefined;
  const { code, err } = await client(["provision", "dev", "--from", path]);
  expect(code).toBe(6);
  expect(err).toContain("FV-NET-004");
});
