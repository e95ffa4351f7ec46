import { afterEach, beforeEach, expect, setDefaultTimeout, test } from "bun:test";
import { truncate, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { RemoteError, type RemoteErrorCode } from "../../../../src/protocol/errors.ts";
import type { ProvisionRequest } from "../../../../src/protocol/message.ts";
import { jsonOutputs } from "../../../../src/roles/client/json-outputs.ts";
import { main } from "../../../../src/roles/client/main.ts";
import { memoryContext } from "../../../support/memory-context.ts";
import { checkPrintedJson } from "../../../support/printed-json.ts";
import { randomBytes, seed, seededRandom } from "../../../support/seed.ts";
import { TestVault } from "../../../support/test-vault.ts";
import { archive, dir, file, header } from "../../init-provision/tar-builder.ts";
import { GatherStage } from "../../init-provision/gather/gather-stage.ts";

setDefaultTimeout(120_000);

/** What the client does of its own: the machine is a played one that lacks everything. */
let vault: TestVault;
let path: string;
const noise = randomBytes(seededRandom(seed), 4_000_000);
const tar = archive(
  dir("bin"),
  file("bin/sh", "#!", { mode: 0o755 }),
  file("zeros", new Uint8Array(3_000_000)),
  file("noise", noise),
);
const digest = sha256Of(tar);

beforeEach(async () => {
  vault = await TestVault.open();
  vault.rootfsSha256 = "0".repeat(64);
  path = join(vault.folder, "rootfs.tar");
  await writeFile(path, tar);
});
afterEach(async () => {
  await vault.close();
});

function start(words: readonly string[], options: { tty?: boolean } = {}) {
  const context = memoryContext({ env: vault.env, columns: 100, ...options });
  return { context, code: main(words, context) };
}

async function client(words: readonly string[], options: { tty?: boolean } = {}) {
  const { context, code } = start(words, options);
  const status = await code;
  checkPrintedJson(jsonOutputs, words, context.out());
  return { code: status, out: context.out(), err: context.err() };
}

const upload = (): string[] => ["provision", "dev", "--from", path];

function provisions(): ProvisionRequest[] {
  return vault.requests.filter((request) => request.type === "provision");
}

function kinds(): string[] {
  return provisions().map(({ source }) => source.kind);
}

/** What the machine makes of the last upload. */
function gathered(): Uint8Array {
  using stage = new GatherStage();
  const source = provisions().at(-1)?.source;
  if (source?.kind !== "delta") throw new Error("No recipe was sent");
  return stage.gather([...vault.uploads.values()].at(-1)?.content ?? new Uint8Array(0), { source });
}

test("a recipe and what is lacking are sent to a machine that has a root filesystem", async () => {
  const { code, out } = await client([...upload(), "--json"]);
  expect(code).toBe(0);
  expect(provisions()).toEqual([
    {
      type: "provision",
      id: expect.any(String),
      source: {
        kind: "delta",
        archive_sha256: digest,
        tar_sha256: sha256Of(tar),
        tar_bytes: tar.length,
        recipe_bytes: expect.any(Number),
      },
    },
  ] as never);
  expect(Buffer.compare(gathered(), tar)).toBe(0);
  expect(JSON.parse(out)).toMatchObject({
    sha256: digest,
    sent_bytes: vault.uploaded,
    archive_bytes: tar.length,
  });
});

test("people are told what it does, and how much went over the link", async () => {
  const { err } = await client(upload(), { tty: true });
  expect(err).toMatch(/, sent 3\.8 MiB of 6\.7 MiB, sha256/);
});

test.each([
  ["--whole", async () => [...upload(), "--whole"]],
  [
    "a machine that is cold",
    async () => {
      vault.vmState = "cold";
      return upload();
    },
  ],
  [
    "a tree that nobody knows the archive of",
    async () => {
      vault.rootfsSha256 = undefined;
      return upload();
    },
  ],
  [
    "a small archive",
    async () => {
      await writeFile(path, gzipSync(archive(file("bin/sh", "#!"))));
      return upload();
    },
  ],
  [
    "what is no archive, so that the machine says so",
    async () => {
      await writeFile(path, noise);
      return upload();
    },
  ],
  [
    "an archive that is cut short",
    async () => {
      await truncate(path, tar.length - 1_000_000);
      return upload();
    },
  ],
] as const)("with %s all of it is sent", async (_, words) => {
  expect((await client(await words())).code).toBe(0);
  expect(kinds()).toEqual(["upload"]);
});

test.each([
  ["bad-request", "the machine takes only whole archives"],
  ["unsupported", "the machine takes only whole archives"],
  ["pieces-changed", "files of the machine changed meanwhile"],
  ["internal", "in pieces it failed (no)"],
  ["cancelled", "in pieces it failed (no)"],
] as const)("a machine that answers %s is sent all of it, by another id", async (code, words) => {
  vault.provisionAnswer = ({ source }) =>
    source.kind === "delta" ? new RemoteError(code, "no") : undefined;
  const { code: status, err } = await client(upload());
  expect(status).toBe(0);
  expect(kinds()).toEqual(["delta", "upload"]);
  expect(new Set(provisions().map(({ id }) => id)).size).toBe(2);
  expect(err).toContain(`${words}; sending all of it\n`);
  expect(vault.uploadedHash).toBe(digest);
});

test("of a packed archive of which nearly all is lacking all is sent, and the machine is told", async () => {
  let cancels = 0;
  vault.cancelAnswer = () => {
    cancels += 1;
    return true;
  };
  path = join(vault.folder, "rootfs.tar.gz");
  await writeFile(path, gzipSync(tar));
  const { code, err } = await client(upload());
  expect(code).toBe(0);
  expect(kinds()).toEqual(["delta", "upload"]);
  expect(cancels).toBe(1);
  expect(err).toContain("the machine has little of it; sending all of it\n");
  expect(vault.uploadedHash).toBe(sha256Of(gzipSync(tar)));
});

test.each([
  "busy",
  "disk-full",
  "digest-mismatch",
  "archive-format",
  "archive-refused",
  "archive-truncated",
  "workload-failed",
] as const satisfies RemoteErrorCode[])("%s is the end of it", async (code) => {
  vault.provisionAnswer = () => new RemoteError(code, "no");
  expect((await client(upload())).code).not.toBe(0);
  expect(kinds()).toEqual(["delta"]);
});

test("once the trees change places nothing is sent once more", async () => {
  vault.lastPhases = ["sync", "switch", "boot"];
  vault.beforeDone = async () => {
    throw new RemoteError("internal", "no");
  };
  expect((await client(upload())).code).not.toBe(0);
  expect(kinds()).toEqual(["delta"]);
});

test.each([
  ["is sent all of it, and none of the other waits for the rest", true, 0, ["delta", "upload"]],
  ["whose trees change places is left alone", false, 1, ["delta"]],
] as const)("a machine that says what nobody understands %s", async (_, isEarly, status, asked) => {
  let cancels = 0;
  vault.cancelAnswer = () => {
    cancels += 1;
    return isEarly;
  };
  vault.lackingAnswer = () => new Uint8Array(1);
  const { code, err } = await client(upload());
  expect(code).toBe(status);
  expect(kinds()).toEqual([...asked]);
  expect(cancels).toBeGreaterThanOrEqual(1);
  if (isEarly) expect(err).toMatch(/in pieces it failed \(1 bytes about \d+ pieces\); sending all/);
});

test("another archive than the one pinned is refused before anything is sent", async () => {
  const { code, err } = await client([...upload(), "--sha256", "ab".repeat(32)]);
  expect(code).toBe(1);
  expect(err).toContain("FV-PROV-005");
  expect(err).toContain(`has SHA-256 ${digest}`);
  expect(provisions()).toEqual([]);
  expect((await client([...upload(), "--sha256", digest])).code).toBe(0);
  expect(provisions()[0]).toMatchObject({ sha256: digest });
});

test("it goes on after each lost link, in the recipe too, and no byte is sent twice", async () => {
  const places = [1, 500_000, 501_000, 2_000_000, 3_900_000];
  vault.provisionAnswer = () => {
    if (vault.uploaded < (places[0] ?? Infinity)) return undefined;
    places.shift();
    void vault.restartLink();
    return undefined;
  };
  const { code } = await client(upload());
  expect(code).toBe(0);
  expect(places).toEqual([]);
  expect(provisions().length).toBeGreaterThanOrEqual(4);
  expect(new Set(provisions().map((request) => JSON.stringify(request))).size).toBe(1);
  expect(Buffer.compare(gathered(), tar)).toBe(0);
});

test("a file that changes while it is sent is noticed, and the machine is told", async () => {
  let cancels = 0;
  vault.cancelAnswer = () => {
    cancels += 1;
    return true;
  };
  vault.provisionAnswer = () => {
    if (vault.uploaded > 0) void utimes(path, 1, 1);
    return undefined;
  };
  const { code, err } = await client(upload());
  expect(code).toBe(3);
  expect(err).toContain("changed while it was sent");
  expect(cancels).toBe(1);
});

test("Ctrl-C while the archive is read asks the machine for nothing", async () => {
  // More than is read before there is a line to see.
  const size = 2 ** 32;
  await writeFile(path, header({ name: "zeros", size }));
  await truncate(path, 512 + size + 1024);
  const { context, code } = start(upload(), { tty: true });
  while (!context.err().includes("comparing")) await Bun.sleep(5);
  context.stop("SIGINT");
  expect(await code).toBe(130);
  expect(context.err()).toContain('cancelled; "dev" is as it was\n');
  await Bun.sleep(50);
  expect(vault.requests).toEqual([]);
});

function sha256Of(bytes: Uint8Array): string {
  return new Bun.CryptoHasher("sha256").update(bytes).digest("hex");
}
