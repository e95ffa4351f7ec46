import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { type LocalFly, startLocalFly } from "../support/local-fly.ts";
import { type LocalVault, makeLocalVault } from "../support/local-vault.ts";
import { programEnv, programPath } from "../support/program.ts";
import { linkPid } from "../support/link-pid.ts";
import { pathHere } from "../support/path-here.ts";
import { makeRootfsArchive } from "../support/rootfs-archive.ts";
import { randomBytes, seed, seededRandom } from "../support/seed.ts";
import type { UdpRelay } from "../support/udp-relay.ts";

setDefaultTimeout(120_000);

/** The command `provision` against a machine whose link is killed under it. */
let fly: LocalFly;
let vault: LocalVault;
let network: UdpRelay;
let large: string;
const noise = randomBytes(seededRandom(seed), 48 * 1024 * 1024);

beforeAll(async () => {
  fly = await startLocalFly();
  const tenant = await fly.createTenant("acme");
  vault = await makeLocalVault(fly, tenant);
  network = await pathHere(vault, tenant);
  const first = await makeRootfsArchive(fly.folder, {
    format: "tar.zst",
    files: { "/etc/release": "first\n" },
  });
  const made = await vault.client(["provision", "dev", "--from", first]);
  if (made.exitCode !== 0) throw new Error(made.stderr);
  large = await makeRootfsArchive(fly.folder, {
    format: "tar",
    files: {
      "/etc/release": "second\n",
      "/noise": noise,
    },
  });
});

afterAll(async () => {
  await network[Symbol.asyncDispose]();
  await fly.stop();
});

function provisioning(...words: readonly string[]) {
  return Bun.spawn([programPath("fly-vault"), "provision", "dev", ...words], {
    cwd: "/",
    env: programEnv(vault.env),
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
}

async function inside(script: string): Promise<string> {
  return (await vault.client(["exec", "-q", "dev", "--", "sh", "-c", script])).text;
}

/** How much of the large file of the new tree is there. */
function stagedBytes(): number {
  const volumes = join(fly.folder, "fly/volumes");
  const sizes = readdirSync(volumes).map(
    (id) => statSync(join(volumes, id, "rootfs.next/noise"), { throwIfNoEntry: false })?.size ?? 0,
  );
  return Math.max(...sizes);
}

async function untilStaged(bytes: number): Promise<void> {
  const deadlineMs = performance.now() + 60_000;
  while (stagedBytes() < bytes) {
    if (performance.now() > deadlineMs) throw new Error(`Never ${bytes} bytes unpacked`);
    await Bun.sleep(1);
  }
}

test("the old one is worked in meanwhile; Ctrl-C in the middle leaves it running, and the room is free", async () => {
  const child = provisioning("--from", large);
  await untilStaged(5_000_000);
  child.kill("SIGSTOP");
  expect(await inside("cat /etc/release")).toBe("first\n");
  child.kill("SIGCONT");
  child.kill("SIGINT");
  expect(await child.exited).toBe(130);
  expect(await child.stderr.text()).toContain('cancelled; "dev" is as it was\n');
  expect(stagedBytes()).toBe(0);
  expect(await inside("cat /etc/release")).toBe("first\n");
});

test("an upload outlives its link, killed with -9 again and again, to the byte", async () => {
  const child = provisioning("--from", large, "--json");
  let kills = 0;
  for (const bytes of [4_000_000, 16_000_000, 30_000_000]) {
    await untilStaged(bytes);
    const pid = linkPid(fly.folder);
    if (pid === undefined) throw new Error("There is no link");
    process.kill(pid, "SIGKILL");
    kills += 1;
  }
  const [out, err, code] = await Promise.all([
    child.stdout.text(),
    child.stderr.text(),
    child.exited,
  ]);
  expect({ code, kills }).toEqual({ code: 0, kills: 3 });
  expect(err).toMatch(/the link is back, going on at \d+\.\d MiB\n/);
  const sha256 = createHash("sha256").update(readFileSync(large)).digest("hex");
  expect(JSON.parse(out)).toMatchObject({ sha256 });
  expect(await inside("cat /etc/release; sha256sum </noise")).toStartWith(
    `second\n${createHash("sha256").update(noise).digest("hex")} `,
  );
});

test("--rollback takes the machine back, and forth", async () => {
  for (const release of ["first", "second"]) {
    const child = provisioning("--rollback");
    expect(await child.stderr.text()).toContain("is back at its previous root filesystem");
    expect(await child.exited).toBe(0);
    expect(await inside("cat /etc/release")).toBe(`${release}\n`);
  }
});

test("a root filesystem whose init dies after a while is left, and the next command says so", async () => {
  const rootfs = await makeRootfsArchive(fly.folder, {
    format: "tar.gz",
    files: { "/etc/release": "third\n", "/sbin/init": "#!/bin/sh\nsleep 3\nexit 9\n" },
    executables: ["/sbin/init"],
  });
  const child = provisioning("--from", rootfs);
  expect(await child.exited).toBe(0);
  let after = await vault.client(["exec", "dev", "--", "cat", "/etc/release"]);
  for (let looks = 0; looks < 50 && !after.stderr.includes("went back"); looks++) {
    await Bun.sleep(200);
    after = await vault.client(["exec", "dev", "--", "cat", "/etc/release"]);
  }
  expect(after.text).toBe("second\n");
  expect(after.stderr).toMatch(
    /^warning: "dev" went back .* its init ended after \d+\.\d s: exit code 9\n$/,
  );
});
