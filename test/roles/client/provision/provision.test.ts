import { afterEach, beforeEach, expect, test } from "bun:test";
import { chmod, mkdir, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { RemoteError, type RemoteErrorCode } from "../../../../src/protocol/errors.ts";
import { main } from "../../../../src/roles/client/main.ts";
import { spawnClient } from "../../../support/client-process.ts";
import { memoryContext } from "../../../support/memory-context.ts";
import { TestVault } from "../../../support/test-vault.ts";

let vault: TestVault;
let archive: Uint8Array;

beforeEach(async () => {
  vault = await TestVault.open();
  archive = new Uint8Array(5_000_001).map((_, index) => (index * 13) & 0xff);
  await writeFile(join(vault.folder, "rootfs.tar.gz"), archive);
});
afterEach(async () => {
  await vault.close();
});

async function client(words: string[], options: { tty?: boolean } = {}) {
  const context = memoryContext({ env: vault.env, columns: 100, ...options });
  const code = await main(words, context);
  return { code, out: context.out(), err: context.err() };
}

const run = ["exec", "dev", "--", "echo", "ran"];

test("a cold machine is provisioned from the file, streamed and whole, then used", async () => {
  vault.vmState = "cold";
  await vault.configure({ rootfs: "rootfs.tar.gz" });
  const { code, out, err } = await client(run);
  expect({ code, out }).toEqual({ code: 0, out: "ran\n" });
  expect(vault.uploaded).toBe(archive.length);
  const hash = new Bun.CryptoHasher("sha256").update(archive).digest("hex");
  expect(vault.uploadedHash).toBe(hash);
  expect(err).toContain(`provisioning "dev" from ${vault.folder}/rootfs.tar.gz (4.8 MiB)\n`);
  expect(err).toMatch(new RegExp(`"dev" has its root filesystem: .*sha256 ${hash} in \\d`));
  const [request] = vault.requests;
  expect(request).toEqual({
    type: "provision",
    id: expect.stringMatching(/^[A-Za-z0-9]{16,}$/),
    source: { kind: "upload", size_bytes: archive.length },
  } as never);
});

test("a machine that is ready is left alone, and the rootfs not looked at", async () => {
  await vault.configure({ rootfs: "missing.tar" });
  expect((await client(run)).code).toBe(0);
  expect(vault.requests.map(({ type }) => type)).toEqual(["session-open"]);
});

test("--reprovision replaces the root filesystem of a ready machine", async () => {
  await vault.configure({ rootfs: "~/rootfs.tar.gz", rootfs_sha256: "ab".repeat(32) });
  const { code } = await client(["connect", "--reprovision", "dev"]);
  expect(code).toBe(0);
  expect(vault.requests[0]).toMatchObject({ type: "provision", sha256: "ab".repeat(32) });
  expect(vault.uploaded).toBe(archive.length);
});

test("rootfs_url is left to the machine", async () => {
  vault.vmState = "cold";
  await vault.configure({ rootfs_url: "https://example.com/r.tar.zst" });
  expect((await client(run)).code).toBe(0);
  expect(vault.requests[0]).toMatchObject({
    source: { kind: "url", url: "https://example.com/r.tar.zst" },
  });
});

test.each([
  ["missing", "FV-PROV-001", 3, "there is no rootfs file"],
  ["folder", "FV-PROV-001", 3, "is not a file"],
  ["empty", "FV-PROV-001", 3, "is empty"],
] as const)("rootfs that is %s: %s", async (name, code, exitCode, words) => {
  await mkdir(join(vault.folder, "folder"));
  await writeFile(join(vault.folder, "empty"), "");
  vault.vmState = "cold";
  await vault.configure({ rootfs: name });
  const result = await client(run);
  expect(result.code).toBe(exitCode);
  expect(result.err).toContain(code);
  expect(result.err).toContain(words);
  expect(vault.requests).toEqual([]);
});

test("neither source names the cold boot, both are refused, before anything is sent", async () => {
  vault.vmState = "cold";
  const none = await client(run);
  expect(none.err).toContain("needs a root filesystem for a cold boot");
  expect(none.err).toContain("give it one:  fly-vault provision dev --from FILE, or add  rootfs =");
  expect(none.err).toContain("FV-VM-001");
  await vault.configure({ rootfs: "rootfs.tar.gz", rootfs_url: "https://example.com/x" });
  const both = await client(run);
  expect(both).toMatchObject({ code: 2 });
  expect(both.err).toContain("both rootfs and rootfs_url");
  const again = await client(["connect", "--reprovision", "dev"]);
  expect(again.code).toBe(2);
  expect(vault.requests).toEqual([]);
});

test.each([
  ["archive-format", "FV-PROV-002", 1],
  ["archive-refused", "FV-PROV-002", 1],
  ["archive-truncated", "FV-PROV-003", 1],
  ["digest-mismatch", "FV-PROV-005", 1],
  ["disk-full", "FV-PROV-004", 1],
  ["download-failed", "FV-PROV-006", 1],
  ["workload-failed", "FV-PROV-007", 1],
  ["cancelled", "FV-PROV-008", 1],
  ["busy", "FV-NET-004", 6],
] as const satisfies readonly (readonly [RemoteErrorCode, string, number])[])(
  "a refusal %s in the middle of the upload is %s",
  async (code, failure, exitCode) => {
    vault.vmState = "cold";
    await vault.configure({ rootfs: "rootfs.tar.gz" });
    vault.provisionAnswer = () =>
      vault.uploaded > 1_000_000 ? new RemoteError(code, "entry ./x: no") : undefined;
    const result = await client(run);
    expect(result.code).toBe(exitCode);
    expect(result.err).toContain(failure);
    expect(result.err).toContain("cause: entry ./x: no");
    expect(result.out).toBe("");
  },
);

test("Ctrl-C in the middle of an upload tells the machine, which waits for nobody then", async () => {
  vault.vmState = "cold";
  await writeFile(join(vault.folder, "endless.tar"), "x");
  await truncate(join(vault.folder, "endless.tar"), 2 ** 32);
  await vault.configure({ rootfs: "endless.tar" });
  const child = spawnClient(["exec", "-q", "dev", "true"], vault.env);
  while (vault.uploaded === 0) await Bun.sleep(5);
  child.kill("SIGINT");
  expect(await child.exited).toBe(130);
  // It said so; one that only went away would be waited for.
  expect(await vault.lastClosed()).toMatchObject({ kind: "peer-application" });
  expect(await child.stderr.text()).toBe("");
});

test("a machine that another client provisions is busy where no root filesystem runs", async () => {
  vault.vmState = "provisioning";
  vault.runtime = "not-started";
  const { code, err } = await client(run);
  expect(code).toBe(6);
  expect(err).toContain("being provisioned by another client");
});

test("while another client provisions, what runs is worked in", async () => {
  vault.vmState = "provisioning";
  const { code, err } = await client(run);
  expect({ code, err }).toEqual({ code: 0, err: "" });
});

test("on a terminal the line shows percent, bytes and rate, and is cleared at the end", async () => {
  vault.vmState = "cold";
  await vault.configure({ rootfs: "rootfs.tar.gz" });
  vault.provisionAnswer = () => {
    Bun.sleepSync(6);
    return undefined;
  };
  const { err } = await client(["exec", "dev", "true"], { tty: true });
  expect(err).toMatch(
    /2Kupload \d+% {2}\d+\.\d [KM]iB of 4\.8 MiB {2}\d+\.\d [KM]iB\/s {2}.* left/,
  );
  expect(err).toContain("unpack 1 entries 2 B");
  expect(err).toContain('\r\u001b[2K"dev" has its root filesystem');
});

test("an unreadable rootfs is named", async () => {
  if (process.getuid?.() === 0) {
    // Root reads everything; what remains is the message of a loop of links.
    vault.vmState = "cold";
    await vault.configure({ rootfs: "/proc/self/mem/x" });
    expect((await client(run)).err).toContain("FV-PROV-001");
    return;
  }
  await chmod(join(vault.folder, "rootfs.tar.gz"), 0);
  vault.vmState = "cold";
  await vault.configure({ rootfs: "rootfs.tar.gz" });
  expect((await client(run)).err).toContain("cannot be read");
});
