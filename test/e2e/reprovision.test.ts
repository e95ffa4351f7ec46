import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { appendFileSync, lstatSync, mkdirSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { linkPid } from "../support/link-pid.ts";
import { type LocalFly, startLocalFly } from "../support/local-fly.ts";
import { type LocalVault, makeLocalVault } from "../support/local-vault.ts";
import { pathHere } from "../support/path-here.ts";
import type { UdpRelay } from "../support/udp-relay.ts";
import { attributes, type ListedFile, listing } from "../roles/init-provision/scratch.ts";

setDefaultTimeout(180_000);

/** A Debian of which one file in fifty changes, by the compiled programs. */
const debian = fileURLToPath(new URL("../../.cache/debian-bookworm.tar.zst", import.meta.url));
let fly: LocalFly;
let vault: LocalVault;
let network: UdpRelay;
let tree: string;
let archive: string;

beforeAll(async () => {
  fly = await startLocalFly();
  const tenant = await fly.createTenant("acme");
  vault = await makeLocalVault(fly, tenant);
  network = await pathHere(vault, tenant);
  tree = join(fly.folder, "tree");
  archive = join(fly.folder, "rootfs.tar.zst");
  mkdirSync(tree);
  system("tar", "--zstd", "-xf", debian, "-C", tree);
  await provisioned(pack());
});

afterAll(async () => {
  await network[Symbol.asyncDispose]();
  await fly.stop();
});

function system(...argv: readonly string[]): void {
  const { exitCode, stderr } = Bun.spawnSync([...argv], {
    env: { PATH: process.env["PATH"] ?? "" },
  });
  if (exitCode !== 0) throw new Error(stderr.toString());
}

function pack(): string {
  const owners = ["--xattrs", "--xattrs-include=*", "--numeric-owner"];
  system("tar", ...owners, "-I", "zstd -1", "-C", tree, "-cf", archive, ".");
  return archive;
}

/** Every fiftieth file of the tree gets a line more. */
function change(line: string): void {
  const files = readdirSync(join(tree, "usr"), { recursive: true, encoding: "utf8" })
    .map((name) => join(tree, "usr", name))
    .filter((path) => lstatSync(path).isFile())
    .toSorted();
  for (let index = 0; index < files.length; index += 50) appendFileSync(files[index] ?? "", line);
}

interface Result {
  readonly sha256: string;
  readonly sent_bytes: number;
  readonly archive_bytes: number;
}

async function provisioned(...words: readonly string[]): Promise<Result> {
  const run = await vault.client(["provision", "dev", "--json", "-q", "--from", ...words]);
  if (run.exitCode !== 0) throw new Error(run.stderr);
  return JSON.parse(run.text) as Result;
}

/** All that tar keeps of the live tree; what runs in it writes there too. */
function live(): { readonly files: readonly ListedFile[]; readonly attributes: string } {
  const volumes = join(fly.folder, "fly/volumes");
  const [id = ""] = readdirSync(volumes);
  const root = join(volumes, id, "rootfs");
  const own = /^etc$|^(etc\/(hostname|hosts|resolv\.conf)|run|tmp|dev|proc|sys)(\/|$)/;
  const files = listing(root).filter(({ path }) => !own.test(path));
  return { files, attributes: attributes(root) };
}

test("a fiftieth of the files changed: a tenth of the archive is sent at most, and the tree is that of the whole", async () => {
  change("a line more\n");
  const delta = await provisioned(pack());
  expect(delta.archive_bytes).toBe(statSync(archive).size);
  expect(delta.sent_bytes).toBeLessThan(delta.archive_bytes / 10);
  const made = live();
  expect(made.files.length).toBeGreaterThan(3000);
  const whole = await provisioned(archive, "--whole");
  expect(whole.sent_bytes).toBe(whole.archive_bytes);
  expect(whole.sha256).toBe(delta.sha256);
  expect(live()).toEqual(made);
});

test("a link that is killed with -9 meanwhile does not spoil it, nor does Ctrl-C", async () => {
  change("and one more\n");
  pack();
  const words = ["provision", "dev", "--from", archive];
  const before = live();
  const stopped = vault.terminal(words);
  await stopped.expect(/comparing with|upload/);
  stopped.type("\u0003");
  expect(await stopped.exited).toBe(130);
  expect(live()).toEqual(before);
  const running = vault.terminal(words);
  await running.expect(/comparing with|upload/);
  const pid = linkPid(fly.folder);
  if (pid === undefined) throw new Error("There is no link");
  process.kill(pid, "SIGKILL");
  expect(await running.exited).toBe(0);
  expect(running.screen()).toMatch(/, sent \d/);
  const made = live();
  expect(made).not.toEqual(before);
  await provisioned(archive, "--whole");
  expect(live()).toEqual(made);
});
