import { expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RemoteError } from "../../../src/protocol/errors.ts";
import { type Frame, FrameStream, frameTypes } from "../../../src/protocol/frame.ts";
import {
  decodeError,
  decodeJson,
  type Provisioned,
  provisionedSchema,
  progressSchema,
  request,
} from "../../../src/protocol/message.ts";
import * as v from "valibot";
import { makeBusyboxRootfs } from "../../support/busybox-rootfs.ts";
import { rejection } from "../../support/rejection.ts";
import { TestMachine } from "./machine.ts";

setDefaultTimeout(60_000);

/** A root filesystem as an archive; `mark` tells one from another. */
function archiveOf(
  mark: string,
  compression: "--gzip" | "--zstd" | "" = "--gzip",
  change: (root: string) => void = () => undefined,
): Uint8Array {
  const folder = mkdtempSync(join(tmpdir(), "fv-archive-"));
  try {
    const root = join(folder, "rootfs");
    makeBusyboxRootfs(root, { init: "none" });
    writeFileSync(join(root, "etc/mark"), `${mark}\n`);
    writeFileSync(join(root, "root/seed"), "from the first image\n");
    change(root);
    const words = ["tar", "-C", root, "-c", ...(compression === "" ? [] : [compression]), "."];
    const made = Bun.spawnSync(words, { env: { PATH: process.env["PATH"] ?? "" } });
    return new Uint8Array(made.stdout);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

class Upload {
  readonly frames: FrameStream;
  readonly phases = new Set<string>();

  constructor(frames: FrameStream) {
    this.frames = frames;
  }

  static async begin(machine: TestMachine, sha256?: string): Promise<Upload> {
    const frames = new FrameStream(await machine.connect());
    const source = { kind: "upload" } as const;
    const wish = {
      type: "provision",
      source,
      ...(sha256 === undefined ? {} : { sha256 }),
    } as const;
    await request(frames, wish, v.object({}));
    return new Upload(frames);
  }

  async send(archive: Uint8Array): Promise<void> {
    for (let offset = 0; offset < archive.length; offset += 65_536)
      await this.frames.write(frameTypes.data, archive.subarray(offset, offset + 65_536));
  }

  async finish(): Promise<Provisioned> {
    await this.frames.write(frameTypes.dataEnd, new Uint8Array(0));
    return this.result();
  }

  async result(): Promise<Provisioned> {
    for (;;) {
      const frame: Frame | null = await this.frames.read();
      if (frame === null) throw new Error("No result");
      if (frame.type === frameTypes.error) throw decodeError(frame.payload);
      if (frame.type === frameTypes.done) {
        await this.frames.stream.end();
        return decodeJson(provisionedSchema, frame.payload, "Done");
      }
      this.phases.add(decodeJson(progressSchema, frame.payload, "Progress").phase);
    }
  }
}

async function provision(machine: TestMachine, archive: Uint8Array): Promise<Provisioned> {
  const upload = await Upload.begin(machine);
  // A refusal may end the stream before all was sent: the result says why.
  await upload.send(archive).catch(() => undefined);
  return upload.finish().catch(async (error: unknown) => {
    if (error instanceof RemoteError) throw error;
    return upload.result();
  });
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  const error = await rejection(promise);
  if (!(error instanceof RemoteError)) throw error;
  return error.code;
}

const mark = async (machine: TestMachine): Promise<string> =>
  (await machine.run(["cat", "/etc/mark"])).stdout.trim();

test.each(["--gzip", "--zstd", ""] as const)(
  "a cold machine becomes ready (tar %s)",
  async (compression) => {
    await using machine = await TestMachine.boot({ rootfs: null });
    const done = await provision(machine, archiveOf("first", compression));
    expect(done.status).toMatchObject({
      vm_state: "ready",
      runtime: "fallback-init",
      rootfs_sha256: done.sha256,
    });
    expect(await mark(machine)).toBe("first");
    expect((await machine.run(["cat", "/root/seed"])).stdout).toBe("from the first image\n");
  },
);

test("a second root filesystem takes over; /root and /home stay; the digest survives a restart", async () => {
  await using machine = await TestMachine.boot({ rootfs: null });
  await provision(machine, archiveOf("first"));
  await machine.shell("echo mine >/root/mine; mkdir -p /home/dev; echo mine >/home/dev/mine");
  const done = await provision(machine, archiveOf("second"));
  expect(await mark(machine)).toBe("second");
  const { stdout } = await machine.shell("cat /root/mine /home/dev/mine");
  expect(stdout).toBe("mine\nmine\n");
  await machine.stop();
  await machine.start();
  expect((await machine.status()).rootfs_sha256).toBe(done.sha256);
  expect(await mark(machine)).toBe("second");
});

test("what goes wrong before the switch leaves the old one running, its sessions too", async () => {
  await using machine = await TestMachine.boot({ rootfs: null });
  const good = archiveOf("first");
  const noise = new Uint8Array(100_000).fill(0x5a);
  await provision(machine, good);
  const session = await machine.open({ argv: ["cat"] });
  expect(await codeOf(provision(machine, noise))).toBe("archive-format");
  expect(await codeOf(provision(machine, good.subarray(0, good.length / 2)))).toBe(
    "archive-truncated",
  );
  const pinned = await Upload.begin(machine, "0".repeat(64));
  await pinned.send(good);
  expect(await codeOf(pinned.finish())).toBe("digest-mismatch");
  await session.write("still here");
  await session.endInput();
  expect((await session.outcome()).stdout).toBe("still here");
  expect(await mark(machine)).toBe("first");
  expect((await machine.status()).vm_state).toBe("ready");
});

test("one at a time; a client that leaves cancels its upload", async () => {
  await using machine = await TestMachine.boot({ rootfs: null });
  const archive = archiveOf("first");
  const first = await Upload.begin(machine);
  await first.send(archive.subarray(0, 100_000));
  expect((await machine.status()).vm_state).toBe("provisioning");
  expect(await codeOf(Upload.begin(machine))).toBe("busy");
  first.frames.stream.abort(0);
  const deadlineMs = performance.now() + 10_000;
  while ((await machine.status()).vm_state !== "cold" && performance.now() < deadlineMs)
    await Bun.sleep(20);
  await provision(machine, archive);
  expect(await mark(machine)).toBe("first");
});

test("a root filesystem that does not boot gives way to the one before", async () => {
  await using machine = await TestMachine.boot({ rootfs: null });
  await provision(machine, archiveOf("first"));
  const broken = archiveOf("second", "--gzip", (root) => {
    // A folder where a file has to be mounted.
    mkdirSync(join(root, "etc/hosts"));
  });
  expect(await codeOf(provision(machine, broken))).toBe("workload-failed");
  expect(await machine.status()).toMatchObject({ vm_state: "ready", runtime: "fallback-init" });
  expect(await mark(machine)).toBe("first");
});

test("an init that runs and ends at once gives way to the one before", async () => {
  await using machine = await TestMachine.boot({ rootfs: null });
  await provision(machine, archiveOf("first"));
  const broken = archiveOf("second", "--gzip", (root) => {
    writeFileSync(join(root, "sbin/init"), "#!/bin/sh\nsleep 0.2\nexit 3\n", { mode: 0o755 });
  });
  const error = await rejection(provision(machine, broken));
  expect(error).toMatchObject({ code: "workload-failed" });
  expect(String(error)).toContain("exit code 3");
  expect(await machine.status()).toMatchObject({ vm_state: "ready", runtime: "fallback-init" });
  expect(await mark(machine)).toBe("first");
});

test("a stop while an archive is unpacked ends soon; the next boot has the old one and nothing else", async () => {
  await using machine = await TestMachine.boot({ rootfs: null });
  const archive = archiveOf("first");
  await provision(machine, archive);
  for (const end of ["stop", "kill"] as const) {
    const upload = await Upload.begin(machine);
    await upload.send(archive.subarray(0, archive.length / 2));
    const unpack = await machine.descendant(" unpack ");
    const startMs = performance.now();
    const told = upload.result();
    told.catch(() => undefined);
    await machine[end]();
    expect(performance.now() - startMs).toBeLessThan(3000);
    // An error from a machine that could still speak, or a stream that ended: never "done".
    expect(await rejection(told)).toBeInstanceOf(Error);
    while (existsSync(`/proc/${unpack}`)) await Bun.sleep(10);
    await machine.start();
    expect(await mark(machine)).toBe("first");
    const names = readdirSync(machine.dataDir).toSorted();
    expect(names).toEqual([".fly-vault", "persist", "rootfs"]);
  }
});

const deaf = (root: string): void =>
  writeFileSync(join(root, "sbin/init"), "#!/bin/sh\ntrap '' TERM\nwhile :; do sleep 1; done\n", {
    mode: 0o755,
  });

test("a stop while the trees change places is a stop: nothing is started any more", async () => {
  await using machine = await TestMachine.boot({
    rootfs: null,
    env: { VAULT_STOP_GRACE: "700ms" },
  });
  await provision(machine, archiveOf("first", "--gzip", deaf));
  const upload = await Upload.begin(machine);
  await upload.send(archiveOf("second"));
  const told = upload.finish();
  told.catch(() => undefined);
  // The old init has been asked to end and does not listen: the switch waits for its grace.
  while (!upload.phases.has("switch")) await Bun.sleep(5);
  const startMs = performance.now();
  expect(await machine.stop()).toBe(0);
  expect(performance.now() - startMs).toBeLessThan(3000);
  expect(machine.log.split('"event":"stopping"')[1]).not.toContain("workload started");
  expect(await rejection(told)).toBeInstanceOf(Error);
  await machine.start();
  expect(["first", "second"]).toContain(await mark(machine));
});

test("from a URL, and a server that does not have it", async () => {
  await using machine = await TestMachine.boot({ rootfs: null });
  const archive = archiveOf("downloaded");
  const sha256 = new Bun.CryptoHasher("sha256").update(archive).digest("hex");
  using server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: ({ url }) =>
      url.endsWith("/rootfs.tar.gz")
        ? new Response(archive.slice())
        : new Response("", { status: 404 }),
  });
  const from = async (path: string): Promise<Provisioned> => {
    const frames = new FrameStream(await machine.connect());
    const source = { kind: "url", url: `http://127.0.0.1:${server.port}${path}` } as const;
    await request(frames, { type: "provision", source, sha256 }, v.object({}));
    return new Upload(frames).result();
  };
  expect(await codeOf(from("/nothing"))).toBe("download-failed");
  expect((await from("/rootfs.tar.gz")).sha256).toBe(sha256);
  expect(await mark(machine)).toBe("downloaded");
});
