import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { emptyTrash } from "../../../src/roles/init/provision/trash.ts";
import { unlockFile } from "../../../src/roles/init/provision/lock-file.ts";
import { listing } from "./scratch.ts";
import { rootfs, Volume } from "./volume-fixture.ts";

setDefaultTimeout(120_000);

/**
 * kill -9 before every single change that provisioning, going back and repairing make to the volume.
 * After each: the next boot finds the old tree or the new one, whole; /root and /home as they were;
 * nothing left over; and provisioning works again.
 */
const scratch = mkdtempSync(join(tmpdir(), "fv-crash-"));
afterAll(() => rmSync(scratch, { recursive: true }));

const archives = ["1", "2", "3"].map((version) => {
  const path = join(scratch, `${version}.tar.gz`);
  writeFileSync(path, rootfs(version));
  return path;
});

type Job = "provision" | "rollback" | "repair";

/** True when the job came to its end before the n-th change. */
async function runAndKill(volume: Volume, job: Job, at: number): Promise<boolean> {
  unlockFile(volume.layout.lock);
  const child = Bun.spawn([process.execPath, "test", join(import.meta.dir, "crash.child.ts")], {
    env: {
      PATH: process.env["PATH"] ?? "",
      FV_CRASH_JOB: job,
      FV_CRASH_DATA: volume.dir,
      FV_CRASH_ARCHIVE: archives[1] ?? "",
      FV_CRASH_AT: String(at),
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const output =
    (await new Response(child.stdout).text()) + (await new Response(child.stderr).text());
  await child.exited;
  const done = output.includes("done after");
  if (!done) expect(child.signalCode).toBe("SIGKILL");
  return done;
}

/** Everything of a tree but its times. */
function content(dir: string): string {
  const files = listing(dir);
  return JSON.stringify(files, (key, value: unknown) => (key === "mtime" ? undefined : value));
}

const tops = new Set([".fly-vault", "persist", "rootfs", "rootfs.previous"]);

/** Boots, looks, and provisions once more. Returns the version found. */
async function afterCrash(
  volume: Volume,
  persistBefore: string | undefined,
  previousOf: Previous,
): Promise<string | undefined> {
  const found = await volume.restart();
  const version = volume.read("rootfs/version");
  expect(found.rootfs).toBe(version !== undefined);
  if (version !== undefined) {
    expect(volume.read("rootfs/bin/sh")).toBe("#!");
    expect(volume.read("rootfs/home/user/note")).toBe(`note of ${version}`);
  }
  const persist =
    volume.read("persist/root/.profile") === undefined ? undefined : content(volume.layout.persist);
  if (persistBefore !== undefined) expect(persist).toBe(persistBefore);
  else if (persist !== undefined) expect(volume.read("persist/home/user/note")).toBe("note of 2");
  expect(readdirSync(volume.dir).filter((name) => !tops.has(name))).toEqual([]);
  expect(volume.read("rootfs.previous/version")).toBe(previousOf[version ?? "none"]);
  await emptyTrash(volume.data);
  await volume.provision(rootfs("3"));
  expect(volume.read("rootfs/version")).toBe("3");
  if (version !== undefined) expect(volume.read("rootfs.previous/version")).toBe(version);
  return version;
}

/** Which tree must lie behind which. */
type Previous = Readonly<Record<string, string | undefined>>;

async function killEverywhere(
  job: Job,
  prepare: (volume: Volume) => Promise<void>,
  previousOf: Previous,
  stride = 1,
): Promise<Set<string | undefined>> {
  const versions = new Set<string | undefined>();
  for (let at = 1; ; at += stride) {
    await using volume = new Volume();
    await volume.repair();
    await prepare(volume);
    const persist =
      volume.read("persist/root/.profile") === undefined
        ? undefined
        : content(volume.layout.persist);
    const done = await runAndKill(volume, job, at);
    if (done) {
      expect(at).toBeGreaterThan(3);
      return versions;
    }
    // The boot after the crash dies as well, at a place that wanders.
    if (at % 2 === 0) await runAndKill(volume, "repair", 1 + (at % 5));
    versions.add(await afterCrash(volume, persist, previousOf));
  }
}

/** Its changes are those of the second and the loss of a tree. Odd, so that the boot after it dies now and then as well. */
const strideOfThird = process.env["FV_SOAK"] === undefined ? 3 : 1;

describe("kill -9 before every change", () => {
  test("of the first provisioning", async () => {
    const versions = await killEverywhere("provision", async () => undefined, {});
    expect(versions).toEqual(new Set([undefined, "2"]));
  }, 180_000);

  test("of the second provisioning", async () => {
    const versions = await killEverywhere(
      "provision",
      async (volume) => {
        await volume.provision(rootfs("1"));
      },
      { "2": "1" },
    );
    expect(versions).toEqual(new Set(["1", "2"]));
  }, 180_000);

  test(`of the third, with a previous tree to lose, one in ${strideOfThird}`, async () => {
    const versions = await killEverywhere(
      "provision",
      async (volume) => {
        await volume.provision(rootfs("0"));
        await volume.provision(rootfs("1"));
      },
      { "1": "0", "2": "1" },
      strideOfThird,
    );
    expect(versions).toEqual(new Set(["1", "2"]));
  }, 180_000);

  test("of going back", async () => {
    const versions = await killEverywhere(
      "rollback",
      async (volume) => {
        await volume.provision(rootfs("1"));
        await volume.provision(rootfs("2"));
      },
      { "1": "2", "2": "1" },
    );
    expect(versions).toEqual(new Set(["1", "2"]));
  }, 180_000);
});

test("kill -9 of the unpacking child is an error, and the next try works", async () => {
  await using volume = new Volume();
  await volume.provision(rootfs("1"));
  async function* slow(): AsyncGenerator<Uint8Array> {
    const bytes = rootfs("2");
    yield bytes.subarray(0, 100);
    for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
      if (childOf(pid)) process.kill(Number(pid), "SIGKILL");
    }
    await Bun.sleep(50);
    yield bytes.subarray(100);
  }
  const outcome = await volume.stage(slow()).catch((error: unknown) => error);
  expect(outcome).toMatchObject({
    code: "internal",
    message: "The unpacking process died of SIGKILL",
  });
  expect(volume.read("rootfs/version")).toBe("1");
  await volume.provision(rootfs("2"));
  expect(volume.read("rootfs/version")).toBe("2");

  function childOf(pid: string): boolean {
    try {
      return Bun.spawnSync(["cat", `/proc/${pid}/cmdline`])
        .stdout.toString()
        .includes(`extract\0${volume.layout.next}`);
    } catch {
      return false;
    }
  }
});
