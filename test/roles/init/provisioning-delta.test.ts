import { expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { PieceSet } from "../../../src/protocol/piece-set.ts";
import { deltaOf } from "../../support/delta-archive.ts";
import { rejection } from "../../support/rejection.ts";
import { between, randomBytes, seed, seededRandom } from "../../support/seed.ts";
import { TestMachine } from "./machine.ts";
import {
  archiveOf,
  cancel,
  codeOf,
  markOf,
  provision,
  provisionDelta,
  ProvisionStream,
  sha256Of,
} from "./provision-client.ts";

setDefaultTimeout(120_000);

const noise = randomBytes(seededRandom(seed), 6_000_000);

/** Some megabytes that do not get smaller when packed, the last of them as said. */
function largeArchive(mark: string, changedFrom = noise.length): Uint8Array {
  const content = Buffer.from(noise);
  for (let at = changedFrom; at < content.length; at++) content[at] = (content[at] ?? 0) ^ 0x55;
  return archiveOf(mark, "--zstd", (root) => writeFileSync(join(root, "var/noise"), content));
}

const first = largeArchive("first");

test("a machine is sent what it lacks, and has the same tree and the same digest as of the whole", async () => {
  await using machine = await TestMachine.boot({ rootfs: null });
  // Of one that has nothing all is lacking.
  await provisionDelta(machine, first);
  const next = largeArchive("second", 5_900_000);
  const done = await provisionDelta(machine, next);
  expect(done.sentBytes).toBeLessThan(600_000);
  expect(done.sha256).toBe(sha256Of(next));
  expect((await machine.status()).rootfs_sha256).toBe(sha256Of(next));
  expect(await markOf(machine)).toBe("second");
  const words = ["diff", "-rq", "--no-dereference", "rootfs", "rootfs.previous"];
  const env = { PATH: process.env["PATH"] ?? "" };
  const unlike = Bun.spawnSync(words, { cwd: machine.dataDir, env }).stdout.toString();
  expect(unlike).toBe(
    ["etc/mark", "var/noise"]
      .map((path) => `Files rootfs/${path} and rootfs.previous/${path} differ\n`)
      .join(""),
  );
});

test("an upload of what is lacking is broken off again and again, and goes on to the byte", async () => {
  await using machine = await TestMachine.boot({ rootfs: null });
  await provision(machine, first);
  const random = seededRandom(seed);
  const next = largeArchive("resumed", 3_000_000);
  const delta = await deltaOf(next);
  const wish = { id: "delta-1", source: delta.source } as const;
  const sets = new Set<string>();
  let furthest = 0;
  for (let breaks = 0; breaks < 25; breaks++) {
    const stream = await ProvisionStream.open(machine, wish);
    expect(stream.offset).toBeGreaterThanOrEqual(furthest);
    expect(stream.created).toBe(breaks === 0);
    // On a busy machine nothing may have been read before the break; a client that sees that again gives up.
    const isStuck = breaks > 0 && stream.offset === furthest;
    furthest = stream.offset;
    stream.result().catch(() => undefined);
    void stream.lacking.promise.then((bytes) => sets.add(Buffer.from(bytes).toString("hex")));
    // The recipe comes in parts too, and then there is something to wait for.
    const step = breaks < 8 ? delta.source.recipe_bytes / 6 : 250_000;
    const end = Math.floor(furthest + between(random, 1, step));
    await stream.sendDelta(delta, end);
    if (isStuck) await Bun.sleep(3000);
    if (random() < 0.7) stream.drop();
    if (random() < 0.5) await Bun.sleep(between(random, 0, 20));
  }
  expect(furthest).toBeGreaterThan(delta.source.recipe_bytes);
  expect(sets.size).toBe(1);
  const last = await ProvisionStream.open(machine, wish);
  const told = last.result();
  await last.sendDelta(delta);
  const finished = await last.finishWith(told);
  expect(finished.sha256).toBe(sha256Of(next));
  expect(await markOf(machine)).toBe("resumed");
});

test.each(["recipe", "pieces"] as const)(
  "cancelled, or taken the place of, in the middle of its %s, it leaves nothing behind",
  async (stage) => {
    await using machine = await TestMachine.boot({ rootfs: null });
    await provision(machine, first);
    const delta = await deltaOf(largeArchive("second", 1_000_000));
    const { recipe_bytes } = delta.source;
    const until = stage === "recipe" ? recipe_bytes / 2 : recipe_bytes + 1_500_000;
    const stream = await ProvisionStream.open(machine, { id: "a", source: delta.source });
    const told = stream.result();
    told.catch(() => undefined);
    await stream.sendDelta(delta, Math.floor(until));
    const child = await machine.descendant(" unpack gather ");
    expect(await cancel(machine, "a")).toBe(true);
    expect(await codeOf(told)).toBe("cancelled");
    expect(existsSync(`/proc/${child}`)).toBe(false);
    expect(readdirSync(machine.dataDir).toSorted()).toEqual([".fly-vault", "persist", "rootfs"]);
    const again = await ProvisionStream.open(machine, { id: "b", source: delta.source });
    again.result().catch(() => undefined);
    await again.sendDelta(delta, Math.floor(until));
    again.drop();
    while ((await machine.status()).vm_state !== "ready") await Bun.sleep(5);
    expect((await provisionDelta(machine, largeArchive("third"))).sentBytes).toBeLessThan(600_000);
    expect(await markOf(machine)).toBe("third");
  },
);

test("killed in the middle it boots the old one, and its client begins anew", async () => {
  await using machine = await TestMachine.boot({ rootfs: null });
  await provision(machine, first);
  const delta = await deltaOf(largeArchive("second", 1_000_000));
  const wish = { id: "a", source: delta.source } as const;
  const stream = await ProvisionStream.open(machine, wish);
  stream.result().catch(() => undefined);
  await stream.sendDelta(delta, delta.source.recipe_bytes + 1_000_000);
  await machine.kill();
  await machine.start();
  expect(await markOf(machine)).toBe("first");
  const again = await ProvisionStream.open(machine, wish);
  expect([again.offset, again.created]).toEqual([0, true]);
  const told = again.result();
  await again.sendDelta(delta);
  await again.finishWith(told);
  expect(await markOf(machine)).toBe("second");
});

test("what does not make the tar stream that was announced is refused; so is another archive than the one pinned", async () => {
  await using machine = await TestMachine.boot({ rootfs: null });
  await provision(machine, first);
  const next = largeArchive("second", 5_900_000);
  const { source } = await deltaOf(next);
  const wrong = "0".repeat(64);
  const other = provisionDelta(machine, next, { source: { ...source, tar_sha256: wrong } });
  expect(await codeOf(other)).toBe("digest-mismatch");
  expect(await codeOf(provisionDelta(machine, next, { sha256: wrong }))).toBe("digest-mismatch");
  const shorter = { source: { ...source, tar_bytes: source.tar_bytes - 1 } };
  expect(await codeOf(provisionDelta(machine, next, shorter))).toBe("archive-truncated");
  const cut = { source: { ...source, recipe_bytes: source.recipe_bytes - 1 } };
  expect(await codeOf(provisionDelta(machine, next, cut))).toBe("bad-request");
  expect(await markOf(machine)).toBe("first");
  const pinned = await provisionDelta(machine, next, { sha256: sha256Of(next) });
  expect(pinned.sha256).toBe(sha256Of(next));
});

test("a guest that changes its files meanwhile is not taken for what it was", async () => {
  await using machine = await TestMachine.boot({ rootfs: null });
  await provision(machine, first);
  const delta = await deltaOf(largeArchive("second", 5_900_000));
  const stream = await ProvisionStream.open(machine, { source: delta.source });
  const told = stream.result();
  told.catch(() => undefined);
  await stream.sendDelta(delta, delta.source.recipe_bytes);
  const lacking = PieceSet.decode(await stream.lacking.promise, delta.recipe.pieces);
  expect(lacking.has(0) && lacking.has(delta.recipe.pieces - 1)).toBe(false);
  await machine.shell("dd if=/dev/zero of=/var/noise bs=1000 count=10 conv=notrunc");
  await stream.sendDelta(delta).catch(() => undefined);
  const error = await rejection(stream.finishWith(told));
  expect(error).toMatchObject({ code: "pieces-changed" });
  expect(await markOf(machine)).toBe("first");
});
