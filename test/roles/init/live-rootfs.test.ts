import { afterEach, beforeEach, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RemoteError } from "../../../src/protocol/errors.ts";
import { limits } from "../../../src/protocol/limits.ts";
import { type FoundRootfs, LiveRootfs } from "../../../src/roles/init/live-rootfs.ts";
import { dataLayout } from "../../../src/roles/init/provision/data-layout.ts";
import { unlockFile } from "../../../src/roles/init/provision/lock-file.ts";
import { restorePrevious } from "../../../src/roles/init/provision/provision.ts";
import { rejection } from "../../support/rejection.ts";
import { StagedWorkload } from "./staged-workload.ts";

let dataDir: string;
let workload: StagedWorkload;
let events: string[];
let proven: number;
const probationMs = 1000;

beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), "fv-live-"));
  for (const tree of ["rootfs", "rootfs.previous"]) {
    mkdirSync(join(dataDir, tree));
    writeFileSync(join(dataDir, tree, tree), "");
  }
  workload = new StagedWorkload();
  events = [];
  proven = 0;
});
afterEach(() => {
  unlockFile(dataLayout(dataDir).lock);
  rmSync(dataDir, { recursive: true });
});

const log = (_level: unknown, event: string): void => void events.push(event);
const onProven = (): void => void (proven += 1);

function live(found: Partial<FoundRootfs> = {}): LiveRootfs {
  mkdirSync(join(dataDir, ".fly-vault"), { recursive: true });
  return new LiveRootfs(
    { dataDir, workload, log, onProven, probationMs },
    { rootfs: true, ...found },
  );
}

const noLog = (): void => undefined;
const next = (isNew = true) => ({
  activate: async () => restorePrevious(dataDir, noLog),
  discard: async () => {},
  isNew,
});
const isWanted = (): boolean => !events.includes("rootfs-rolled-back");
const change = (rootfs: LiveRootfs, isNew = true): Promise<void> =>
  rootfs.change(next(isNew), () => undefined);
/** The file that tells which of the two trees is live. */
const tree = (): string | undefined => readdirSync(join(dataDir, "rootfs"))[0];

async function until(condition: () => boolean): Promise<void> {
  const deadlineMs = performance.now() + 10_000;
  while (!condition()) {
    if (performance.now() > deadlineMs) throw new Error(`Never: ${condition.toString()}`);
    await Bun.sleep(5);
  }
}

test("a tree that was not proven when the machine went down is on probation again", async () => {
  const rootfs = live({ proven: false, sha256: "ab".repeat(32) });
  await rootfs.boot();
  workload.dies();
  await until(() => events.includes("rootfs-rolled-back"));
  expect(tree()).toBe("rootfs.previous");
  expect(rootfs.status.rolled_back).toEqual({
    sha256: "ab".repeat(32),
    because: "its init ended after 2.0 s: exit code 1",
  });
  expect(workload.steps).toEqual(["keepRunning", "stop", "keepRunning"]);
  // The other one is final, as going back records: else two bad ones would change places for ever.
  workload.dies();
  await Bun.sleep(20);
  expect(tree()).toBe("rootfs.previous");
});

test("a tree that was proven before may die as it likes", async () => {
  await live({ proven: true }).boot();
  workload.dies();
  await Bun.sleep(20);
  expect(tree()).toBe("rootfs");
  expect(workload.steps).toEqual(["keepRunning"]);
});

test("a new one is proven when its time has passed, and only then", async () => {
  const rootfs = live();
  await change(rootfs);
  expect(proven).toBe(0);
  await until(() => proven === 1);
  workload.dies();
  await Bun.sleep(20);
  expect(tree()).toBe("rootfs.previous");
  expect(proven).toBe(1);
});

test("the fallback init proves a tree at once, after a change and after a boot", async () => {
  workload.next = "fallback-init";
  await change(live());
  expect(proven).toBe(1);
  await live({ proven: false }).boot();
  expect(proven).toBe(2);
});

test("a reboot from inside begins the time anew", async () => {
  await change(live());
  await Bun.sleep(probationMs / 2);
  const diedMs = performance.now();
  workload.dies("", true);
  await until(() => proven === 1);
  expect(performance.now() - diedMs).toBeGreaterThan(probationMs - 5);
  expect(tree()).toBe("rootfs.previous");
});

test("one that is left for another is judged no more", async () => {
  const rootfs = live();
  await change(rootfs);
  await change(rootfs, false);
  workload.dies();
  await Bun.sleep(probationMs * 1.5);
  expect(tree()).toBe("rootfs");
  expect(proven).toBe(0);
});

test("a change that another one made needless while it waited is left undone", async () => {
  const rootfs = live({ proven: false });
  await rootfs.boot();
  workload.dies();
  await rootfs.change({ ...next(false), isWanted }, () => undefined);
  expect(tree()).toBe("rootfs.previous");
  expect(rootfs.status.rolled_back).toBeDefined();
  expect(workload.steps).toEqual(["keepRunning", "stop", "keepRunning"]);
});

test("under a workload that does not end no tree is changed for another", async () => {
  const rootfs = live({ proven: false });
  await rootfs.boot();
  workload.stopFails = true;
  let discarded = 0;
  const discard = async (): Promise<void> => void (discarded += 1);
  const refused = await rejection(rootfs.change({ ...next(), discard }, () => undefined));
  expect(refused).toMatchObject({ code: "internal", message: expect.stringContaining("not end") });
  expect(discarded).toBe(1);
  expect(tree()).toBe("rootfs");
  // Nor in going back: what hangs there still has it.
  workload.dies();
  await until(() => events.includes("no-previous-rootfs"));
  expect(tree()).toBe("rootfs");
  expect(workload.steps).toEqual(["keepRunning", "stop", "keepRunning", "stop", "keepRunning"]);
});

const full = new RemoteError("disk-full", "No room");
const activate = async (): Promise<void> => Promise.reject(full);

test("a machine that was cold before a change that failed is cold again, and tries nothing", async () => {
  const rootfs = live({ rootfs: false });
  expect(await rejection(rootfs.change({ ...next(), activate }, () => undefined))).toBe(full);
  expect(workload.steps).toEqual(["stop"]);
  expect(rootfs.present).toBe(false);
});

test("a tree that stays because the next one could not take its place has still to prove itself", async () => {
  const rootfs = live({ proven: false });
  await rootfs.boot();
  expect(await rejection(rootfs.change({ ...next(), activate }, () => undefined))).toBe(full);
  workload.dies();
  await until(() => events.includes("rootfs-rolled-back"));
  expect(tree()).toBe("rootfs.previous");
});

test("a new one that does not boot is stopped before its tree is left", async () => {
  workload.startFails = true;
  expect(await rejection(change(live()))).toMatchObject({ code: "workload-failed" });
  expect(workload.steps).toEqual(["stop", "start", "stop", "keepRunning"]);
  expect(tree()).toBe("rootfs");
});

test("a verdict that comes as the machine stops changes nothing", async () => {
  const rootfs = live({ proven: false });
  await rootfs.boot();
  workload.dies();
  workload.closed = true;
  await rejection(change(rootfs));
  expect(tree()).toBe("rootfs");
  expect(workload.steps).toEqual(["keepRunning", "stop"]);
});

test("a machine that stops judges nothing any more", async () => {
  const rootfs = live();
  await change(rootfs);
  rootfs.close();
  workload.dies();
  await Bun.sleep(probationMs * 1.5);
  expect(proven).toBe(0);
  expect(tree()).toBe("rootfs.previous");
  workload.closed = true;
  expect(await rejection(change(rootfs))).toMatchObject({ code: "cancelled" });
});

test("without a previous tree the live one stays, whatever it does", async () => {
  rmSync(join(dataDir, "rootfs.previous"), { recursive: true });
  const rootfs = live({ proven: false });
  expect(rootfs.hasPrevious).toBe(false);
  await rootfs.boot();
  workload.dies();
  await until(() => events.includes("rootfs-does-not-stay-up"));
  expect(tree()).toBe("rootfs");
  expect(rootfs.status.rolled_back).toBeUndefined();
});

test("a tree that was left half made is none to go back to", () => {
  rmSync(join(dataDir, "rootfs.previous"), { recursive: true });
  writeFileSync(join(dataDir, "rootfs.previous"), "");
  expect(live().hasPrevious).toBe(false);
});

test("what is said of it is short, one line, and there after a restart; a broken note is none", async () => {
  const rootfs = live({ proven: false });
  await rootfs.boot();
  workload.dies(`\u{1b}[31m${"x".repeat(1000)}`);
  await until(() => rootfs.status.rolled_back !== undefined);
  const { because = "" } = rootfs.status.rolled_back ?? {};
  expect(because.length).toBeLessThanOrEqual(limits.becauseBytesMax);
  expect(because).not.toContain("\u{1b}");
  expect(live().status.rolled_back).toEqual(rootfs.status.rolled_back);
  writeFileSync(join(dataDir, ".fly-vault/rolled-back.json"), '{"because":');
  expect(live().status.rolled_back).toBeUndefined();
  await change(rootfs);
  expect(existsSync(join(dataDir, ".fly-vault/rolled-back.json"))).toBe(false);
});
