import { expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { encodeArchiveData } from "../../../src/protocol/archive-frame.ts";
import { frameTypes } from "../../../src/protocol/frame.ts";
import { rejection } from "../../support/rejection.ts";
import { between, randomBytes, seed, seededRandom } from "../../support/seed.ts";
import { TestMachine } from "./machine.ts";
import {
  archiveOf,
  cancel,
  codeOf,
  markOf,
  provision,
  ProvisionStream,
  sha256Of,
} from "./provision-client.ts";

setDefaultTimeout(120_000);

/** Some megabytes that do not get smaller when packed. */
function largeArchive(mark: string): Uint8Array {
  const noise = randomBytes(seededRandom(seed), 6_000_000);
  return archiveOf(mark, "--gzip", (root) => writeFileSync(join(root, "var/noise"), noise));
}

async function untilState(machine: TestMachine, state: string): Promise<void> {
  const deadlineMs = performance.now() + 20_000;
  while ((await machine.status()).vm_state !== state) {
    if (performance.now() > deadlineMs) throw new Error(`The machine never was ${state}`);
    await Bun.sleep(10);
  }
}

const stagedNames = (machine: TestMachine): string[] =>
  readdirSync(machine.dataDir).filter((name) => name.includes("next"));

test("an upload that is broken off again and again goes on where it stood, to the byte", async () => {
  await using machine = await TestMachine.boot({ rootfs: null });
  const random = seededRandom(seed);
  const archive = largeArchive("resumed");
  const wish = { id: "upload-1", source: { kind: "upload", size_bytes: archive.length } } as const;
  let breaks = 0;
  let furthest = 0;
  for (; breaks < 60; breaks++) {
    const stream = await ProvisionStream.open(machine, wish);
    // The machine has at most what was ever sent, and never less than before.
    expect(stream.offset).toBeGreaterThanOrEqual(furthest);
    expect(stream.created).toBe(breaks === 0);
    furthest = stream.offset;
    const end = Math.min(archive.length - 1, stream.offset + between(random, 0, 200_000));
    await stream.send(archive, end);
    // Half of them within a frame, in its header or in its payload.
    if (random() < 0.5) {
      const bytes = archive.subarray(end, end + between(random, 1, 5000));
      const frame = encodeArchiveData({ offset: end, bytes });
      await stream.frames.stream.write(frame.subarray(0, between(random, 1, frame.length - 1)));
    }
    // Some come back before the machine has noticed that they were gone.
    if (random() < 0.7) stream.drop();
    if (random() < 0.5) await Bun.sleep(between(random, 0, 20));
  }
  expect(furthest).toBeGreaterThan(0);
  const last = await ProvisionStream.open(machine, wish);
  await last.send(archive);
  expect((await last.finish()).sha256).toBe(sha256Of(archive));
  expect(await markOf(machine)).toBe("resumed");
  const { stdout } = await machine.shell("sha256sum </var/noise | cut -d' ' -f1");
  expect(stdout.trim()).toBe(sha256Of(randomBytes(seededRandom(seed), 6_000_000)));
});

test("bytes twice, and bytes that leave a hole, end the upload; nothing of it stays", async () => {
  await using machine = await TestMachine.boot({ rootfs: null });
  const archive = archiveOf("first");
  for (const offset of [0, 99_999, 100_001]) {
    const id = `upload-${offset}`;
    const stream = await ProvisionStream.open(machine, { id });
    await stream.send(archive, 100_000);
    await stream.frames.writeEncoded(encodeArchiveData({ offset, bytes: archive.slice(0, 10) }));
    expect(await rejection(stream.result())).toMatchObject({
      code: "bad-request",
      message: expect.stringContaining(`offset ${offset}, the next one is 100000`),
    });
    // It cannot be gone on with either.
    const again = await ProvisionStream.open(machine, { id });
    expect(await codeOf(again.result())).toBe("bad-request");
    expect(stagedNames(machine)).toEqual([]);
  }
  await provision(machine, archive);
  expect(await markOf(machine)).toBe("first");
});

test("data after the end is a violation; the end said twice is not", async () => {
  await using machine = await TestMachine.boot({ rootfs: null });
  const archive = archiveOf("first");
  const stream = await ProvisionStream.open(machine, { id: "a" });
  await stream.send(archive, archive.length / 2);
  await stream.frames.write(frameTypes.dataEnd, new Uint8Array(0));
  await stream.frames.write(frameTypes.dataEnd, new Uint8Array(0));
  expect(await codeOf(stream.result())).toBe("archive-truncated");
  const wrong = await ProvisionStream.open(machine, { id: "b" });
  await wrong.frames.write(frameTypes.dataEnd, new Uint8Array(0));
  await wrong.frames.writeEncoded(encodeArchiveData({ offset: 0, bytes: archive.slice(0, 9) }));
  expect(["bad-request", "archive-truncated"]).toContain(await codeOf(wrong.result()));
});

test("a client that was away when it was done hears it all the same, and uploads nothing again", async () => {
  await using machine = await TestMachine.boot({ rootfs: null });
  const archive = archiveOf("first");
  const stream = await ProvisionStream.open(machine, { id: "a" });
  await stream.send(archive);
  await stream.frames.write(frameTypes.dataEnd, new Uint8Array(0));
  stream.drop();
  await machine.untilLogged('"event":"workload started"');
  await untilState(machine, "ready");
  const again = await ProvisionStream.open(machine, { id: "a" });
  expect(again.offset).toBe(archive.length);
  expect(await again.result()).toMatchObject({
    sha256: sha256Of(archive),
    status: { vm_state: "ready", runtime: "fallback-init" },
  });
  expect(machine.log.split('"event":"workload started"')).toHaveLength(2);
  const refused = await ProvisionStream.open(machine, { id: "b", sha256: "0".repeat(64) });
  await refused.send(archive);
  await refused.frames.write(frameTypes.dataEnd, new Uint8Array(0));
  refused.drop();
  await untilState(machine, "ready");
  const told = await ProvisionStream.open(machine, { id: "b", sha256: "0".repeat(64) });
  expect(await codeOf(told.result())).toBe("digest-mismatch");
});

test("one at a time: busy while a client attends, else the next one takes the place", async () => {
  await using machine = await TestMachine.boot({ rootfs: null });
  const archive = archiveOf("second");
  const first = await ProvisionStream.open(machine, { id: "first" });
  await first.send(archiveOf("first"), 100_000);
  expect((await machine.status()).vm_state).toBe("provisioning");
  expect(await codeOf(ProvisionStream.open(machine))).toBe("busy");
  first.drop();
  await untilState(machine, "cold");
  // Two at once: one gets the place.
  const rivals = await Promise.allSettled([
    ProvisionStream.open(machine),
    ProvisionStream.open(machine),
  ]);
  const [winner] = rivals.flatMap((rival) => (rival.status === "fulfilled" ? [rival.value] : []));
  expect(rivals.filter(({ status }) => status === "rejected")).toHaveLength(1);
  const back = await ProvisionStream.open(machine, { id: "first" });
  expect(await rejection(back.result())).toMatchObject({
    code: "cancelled",
    message: "Another provisioning took its place",
  });
  await winner?.send(archive);
  await winner?.finish();
  expect(await markOf(machine)).toBe("second");
});

test("an id stands for one archive", async () => {
  await using machine = await TestMachine.boot({ rootfs: null });
  const open = (size_bytes: number) =>
    ProvisionStream.open(machine, { id: "a", source: { kind: "upload", size_bytes } });
  await open(1000);
  expect(await codeOf(open(1001))).toBe("already-exists");
});

test("a cancelled upload is gone at once: the old one runs, the room is free", async () => {
  await using machine = await TestMachine.boot({ rootfs: null });
  await provision(machine, archiveOf("first"));
  const session = await machine.open({ argv: ["cat"] });
  for (const away of [false, true]) {
    const id = `upload-${away}`;
    const stream = await ProvisionStream.open(machine, { id });
    const archive = largeArchive("second");
    await stream.send(archive, archive.length - 1000);
    if (away) stream.drop();
    expect(stagedNames(machine)).toEqual(["rootfs.next"]);
    expect(await cancel(machine, id)).toBe(true);
    expect(stagedNames(machine)).toEqual([]);
    expect(readdirSync(join(machine.dataDir, ".fly-vault/trash"))).toEqual([]);
    const told = away ? (await ProvisionStream.open(machine, { id })).result() : stream.result();
    expect(await rejection(told)).toMatchObject({
      code: "cancelled",
      message: "The client cancelled it",
    });
    expect((await machine.status()).vm_state).toBe("ready");
  }
  await session.write("still here");
  await session.endInput();
  expect((await session.outcome()).stdout).toBe("still here");
  expect(await codeOf(cancel(machine, "never-began"))).toBe("not-found");
});

test("what is done cannot be cancelled; what failed has changed nothing", async () => {
  await using machine = await TestMachine.boot({ rootfs: null });
  expect(await codeOf(provision(machine, new Uint8Array(1000), { id: "failed" }))).toBe(
    "archive-truncated",
  );
  expect(await cancel(machine, "failed")).toBe(true);
  await provision(machine, archiveOf("first"), { id: "a" });
  expect(await cancel(machine, "a")).toBe(false);
  expect(await markOf(machine)).toBe("first");
});
