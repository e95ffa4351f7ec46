import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type LocalFly, startLocalFly } from "../support/local-fly.ts";
import { type LocalVault, makeLocalVault } from "../support/local-vault.ts";
import { programEnv, programPath } from "../support/program.ts";
import { pathHere } from "../support/path-here.ts";
import { makeRootfsArchive } from "../support/rootfs-archive.ts";
import { randomBytes, seed, seededRandom } from "../support/seed.ts";
import type { UdpRelay } from "../support/udp-relay.ts";

setDefaultTimeout(120_000);

/** The compiled program copies into a machine and out of it, whatever is killed on the way. */
let fly: LocalFly;
let vault: LocalVault;
let network: UdpRelay;
let here: string;
const content = Buffer.from(randomBytes(seededRandom(seed), 48 * 1024 * 1024));

beforeAll(async () => {
  fly = await startLocalFly();
  const tenant = await fly.createTenant("acme");
  vault = await makeLocalVault(fly, tenant);
  network = await pathHere(vault, tenant);
  const archive = await makeRootfsArchive(fly.folder, {
    format: "tar.zst",
    files: { "/etc/x": "x" },
  });
  const made = await vault.client(["provision", "dev", "--from", archive]);
  if (made.exitCode !== 0) throw new Error(made.stderr);
  here = join(fly.folder, "here");
  mkdirSync(here);
  writeFileSync(join(here, "big"), content);
});
afterAll(async () => {
  await network[Symbol.asyncDispose]();
  await fly.stop();
});

test("kill -9 of the link in the middle of a copy up and of one down costs no byte", async () => {
  const up = copying("--json", join(here, "big"), "dev:big");
  await untilEvent(
    up,
    "progress-by-size",
    async () => (await sizeInside("/root/.big.part")) > 4_000_000,
  );
  process.kill(linkPid(), "SIGKILL");
  const upward = await ended(up);
  expect(upward).toMatchObject({ code: 0 });
  expect(await inside("sha256sum </root/big; ls -A /root | grep big")).toBe(
    `${sha256(content)}  -\nbig\n`,
  );

  const part = join(here, ".back.part");
  const down = copying("--json", "dev:big", join(here, "back"));
  await untilEvent(down, "part", async () => existsSync(part) && statSync(part).size > 4_000_000);
  process.kill(linkPid(), "SIGKILL");
  expect(await ended(down)).toMatchObject({ code: 0 });
  expect(readFileSync(join(here, "back")).equals(content)).toBe(true);
});

test("after Ctrl-C the same command goes on where it stopped", async () => {
  await inside("rm -f /root/big");
  const first = copying(join(here, "big"), "dev:");
  await untilEvent(first, "part", async () => (await sizeInside("/root/.big.part")) > 4_000_000);
  first.kill("SIGINT");
  const stopped = await ended(first);
  expect(stopped.code).toBe(130);
  expect(stopped.err).toContain("the same command goes on from there");
  const second = await ended(copying(join(here, "big"), "dev:"));
  expect(second).toMatchObject({ code: 0 });
  expect(second.err).toMatch(/big {2}resuming at \d+\.\d MiB/);
  expect(second.err).toContain(`sha256 ${sha256(content)}`);
  expect(second.err).toContain("0 B resent");
});

test("a tree with another user's rights, and pipes at both ends", async () => {
  const tree = join(here, "tree");
  mkdirSync(join(tree, "sub"), { recursive: true });
  for (let index = 0; index < 200; index++) writeFileSync(join(tree, `sub/f${index}`), `${index}`);
  expect((await ended(copying("-rp", "--exclude", "f7", tree, "dev:"))).code).toBe(0);
  expect(await inside("ls tree/sub | wc -l; cat tree/sub/f199")).toBe("199\n199");
  const down = await ended(copying("dev:tree/sub/f42", "-"));
  expect(down.out).toBe("42");
  expect((await ended(copying("dev:nothing", here))).code).toBe(3);
});

function copying(...words: readonly string[]) {
  return Bun.spawn([programPath("fly-vault"), "cp", ...words], {
    cwd: "/",
    env: programEnv(vault.env),
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
}

type Copying = ReturnType<typeof copying>;

async function ended(child: Copying): Promise<{ code: number; out: string; err: string }> {
  const [out, err, code] = await Promise.all([
    child.stdout.text(),
    child.stderr.text(),
    child.exited,
  ]);
  return { code, out, err };
}

async function untilEvent(
  child: Copying,
  what: string,
  look: () => Promise<boolean>,
): Promise<void> {
  for (let tries = 0; tries < 15_000; tries++) {
    if (await look()) return;
    if (child.exitCode !== null)
      throw new Error(`Too late for ${what}: ${await child.stderr.text()}`);
    await Bun.sleep(2);
  }
  throw new Error(`Never ${what}`);
}

/** As the volume has it, looked at from outside: asking inside would take longer than the copy. */
async function sizeInside(path: string): Promise<number> {
  const [found] = [...new Bun.Glob(`**/persist${path}`).scanSync({ cwd: fly.folder, dot: true })];
  return found === undefined ? 0 : statSync(join(fly.folder, found)).size;
}

/** The process that speaks QUIC for the machine; its words name the folder of this test. */
function linkPid(): number {
  const found = readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .find((pid) => {
      const words = commandLine(pid);
      return words.includes("\0link\0") && words.includes(fly.folder);
    });
  if (found === undefined || found <= 1) throw new Error("No link");
  return found;
}

function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8");
  } catch {
    return "";
  }
}

async function inside(script: string): Promise<string> {
  const { text, exitCode, stderr } = await vault.client(["exec", "dev", "--", "sh", "-c", script]);
  if (exitCode !== 0) throw new Error(stderr);
  return text;
}

function sha256(bytes: Uint8Array): string {
  return new Bun.CryptoHasher("sha256").update(bytes).digest("hex");
}
