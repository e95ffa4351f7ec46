import { afterEach, beforeEach, expect, test } from "bun:test";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { lockApp, readJournal, RolloutJournal } from "../../../src/roles/admin/rollout-journal.ts";
import { rolloutLimits } from "../../../src/roles/admin/rollout-limits.ts";
import { planRollout } from "../../../src/roles/admin/rollout-plan.ts";
import {
  decodeJournal,
  encodeRecord,
  JournalDamaged,
  type PlanRecord,
  type StepRecord,
} from "../../../src/roles/admin/rollout-record.ts";
import { openRollouts } from "../../../src/roles/admin/rollout-store.ts";
import { rejection } from "../../support/rejection.ts";
import { images } from "./fleet-stage.ts";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "fvj-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const options = {
  concurrency: 4,
  canary: 1,
  unavailableMax: 4,
  soakMs: 0,
  startMs: 1_000,
  healthMs: 1_000,
  drainMs: 0,
  leaseSeconds: 30,
  handshake: false,
};
const target = { app: "app", apiBase: "http://127.0.0.1:1" };
const plan = (id: string): PlanRecord => ({
  type: "plan",
  version: 1,
  id,
  mark: "5f3a9c01",
  ...target,
  image: images.new,
  startedAt: "2026-11-23T00:00:00Z",
  options,
  machines: [{ id: "m1", tenant: "acme", region: "ord" }],
  skipped: 0,
  silent: [],
});
const lease: StepRecord = { type: "lease", machine: "m1" };
const wish = {
  mark: "5f3a9c01",
  image: images.new,
  options,
  plan: planRollout(
    [{ id: "m1", state: "started", config: { image: images.old, metadata: {} } }],
    images.new,
    1,
  ),
};
const warnings: string[] = [];
const warn = async (words: string): Promise<void> => void warnings.push(words);
const unchecked = async (): Promise<void> => undefined;
const now = new Date("2026-11-23T12:00:00Z");

test("a journal is private, grows by lines, and cut anywhere gives whole records again", async () => {
  const { journal } = await RolloutJournal.create(folder, "20261123", plan);
  const steps: StepRecord[] = [lease, { type: "leased", machine: "m1", nonce: "n" }];
  await journal.append(steps);
  await journal.close();
  const path = join(folder, "r-20261123-1.jsonl");
  expect(statSync(path).mode & 0o777).toBe(0o600);
  const bytes = new Uint8Array(readFileSync(path));
  expect(decodeJournal(bytes)).toEqual({ plan: plan("r-20261123-1"), steps, bytes: bytes.length });
  const first = encodeRecord(plan("r-20261123-1")).length;
  for (let length = 0; length < bytes.length; length += 1) {
    const cut = bytes.subarray(0, length);
    if (length < first) expect(() => decodeJournal(cut)).toThrow(JournalDamaged);
    else expect(decodeJournal(cut).steps).toEqual(steps.slice(0, decodeJournal(cut).steps.length));
  }
  writeFileSync(path, bytes.subarray(0, -3));
  const text = await readJournal(folder, "r-20261123-1");
  expect(text?.steps).toEqual([lease]);
  const again = await RolloutJournal.open(folder, text!);
  await again.append([{ type: "finish" }]);
  await again.close();
  expect((await readJournal(folder, "r-20261123-1"))?.steps).toEqual([lease, { type: "finish" }]);
});

test("damage in the middle is told by its line, and a journal that others may write is not believed", async () => {
  const path = join(folder, "r-20261123-1.jsonl");
  const head = encodeRecord(plan("r-20261123-1"));
  for (const [text, words] of [
    [`${head}{"type":"lease"}\n`, "line 2: machine"],
    [`${head}nonsense\n${encodeRecord(lease)}`, "line 2"],
    [`${head}{"type":"lease","machine":"../x"}\n`, "line 2: machine"],
    [`${head}{"type":"lease","machine":"m1","more":1}\n`, "line 2: more"],
    ["", "no whole line"],
  ] as const) {
    writeFileSync(path, text, { mode: 0o600 });
    const error = await rejection(readJournal(folder, "r-20261123-1"));
    expect(error).toMatchObject({ code: "FV-SYS-001", because: expect.stringContaining(words) });
  }
  rmSync(path);
  writeFileSync(path, head, { mode: 0o622 });
  Bun.spawnSync(["chmod", "622", path]);
  expect(await rejection(readJournal(folder, "r-20261123-1"))).toMatchObject({
    because: expect.stringContaining("can be written by others"),
  });
});

test("a journal that would grow too long refuses the record before the call", async () => {
  const { journal } = await RolloutJournal.create(folder, "20261123", plan);
  const line = encodeRecord({ type: "turn", machine: "m1", reason: "x".repeat(2_000) });
  const record: StepRecord = JSON.parse(line);
  const count = Math.ceil(rolloutLimits.journalBytesMax / line.length);
  const error = await rejection(journal.append(Array.from({ length: count }, () => record)));
  expect(error).toMatchObject({ code: "FV-SYS-001" });
  await journal.append([lease]);
  await journal.close();
  expect((await readJournal(folder, "r-20261123-1"))?.steps).toEqual([lease]);
});

test("one process of an app at a time, and none begins while machines of another are open", async () => {
  const first = await openRollouts(folder, target, warn);
  expect(await rejection(openRollouts(folder, target, warn))).toMatchObject({ code: "FV-ADM-020" });
  const { journal, unlock } = await first.begin(wish, now);
  await journal.append([lease]);
  await journal.close();
  await unlock();
  const second = await openRollouts(folder, target, warn);
  expect(await rejection(second.begin(wish, now))).toMatchObject({
    code: "FV-ADM-020",
    fix: expect.stringContaining("--resume r-20261123-1"),
  });
  const third = await openRollouts(folder, target, warn);
  const resumed = await third.resume("r-20261123-1", now, unchecked);
  expect(resumed.state.open.length).toBe(1);
  await resumed.journal.close();
  await resumed.unlock();
  const other = await openRollouts(folder, { ...target, apiBase: "http://127.0.0.1:2" }, warn);
  expect(await rejection(other.resume("r-20261123-1", now, unchecked))).toMatchObject({
    code: "FV-CLI-001",
  });
});

const begin = async (steps: readonly StepRecord[]): Promise<string> => {
  const { journal, state, unlock } = await (
    await openRollouts(folder, target, warn)
  ).begin(wish, now);
  await journal.append(steps);
  await journal.close();
  await unlock();
  return state.plan.id;
};
const resume = async (id: string) =>
  (await openRollouts(folder, target, warn)).resume(id, now, unchecked);

test("an old rollout does not give machines its image that a newer one has changed since", async () => {
  const walked: StepRecord[] = [lease, { type: "update", machine: "m1", to: "new" }];
  const old = await begin([]);
  await begin([...walked, { type: "end", machine: "m1", outcome: "rolled-back" }]);
  const free = await resume(old);
  await free.journal.close();
  await free.unlock();
  const newer = await begin([...walked, { type: "end", machine: "m1", outcome: "updated" }]);
  expect(await rejection(resume(old))).toMatchObject({
    code: "FV-ADM-020",
    because: expect.stringContaining(newer),
  });
  const last = await resume(newer);
  await last.journal.close();
  await last.unlock();
});

test("a state folder that is none is told, not taken for a mistake of ours", async () => {
  const file = join(folder, "file");
  writeFileSync(file, "");
  for (const path of [file, join(file, "below")])
    expect(await rejection(openRollouts(path, target, warn))).toMatchObject({
      code: "FV-SYS-001",
      fix: expect.stringContaining("FLY_VAULT_HOME"),
    });
  mkdirSync(join(folder, "r-20261123-1.jsonl"));
  expect(await rejection(readJournal(folder, "r-20261123-1"))).toMatchObject({
    code: "FV-SYS-001",
  });
  mkdirSync(join(folder, "app.lock"));
  expect(await rejection(openRollouts(folder, target, warn))).toMatchObject({ code: "FV-SYS-001" });
});

test("a damaged journal stops no other rollout, and is named", async () => {
  const path = join(folder, "r-20261122-1.jsonl");
  writeFileSync(path, `${encodeRecord(plan("r-20261122-1"))}{"type":"lea\n`, { mode: 0o600 });
  warnings.length = 0;
  await begin([{ type: "finish" }]);
  expect(warnings).toEqual([expect.stringContaining(path)]);
  expect(warnings[0]).toContain("line 2");
  expect(warnings[0]).toContain("may have left leases and cordons");
});

test("a day has so many names for journals and no more", async () => {
  for (let number = 1; number <= rolloutLimits.idAttemptsMax; number += 1)
    writeFileSync(join(folder, `r-20261123-${number}.jsonl`), "");
  const error = await rejection(RolloutJournal.create(folder, "20261123", plan));
  expect(error).toMatchObject({
    code: "FV-SYS-001",
    message: expect.stringContaining("no free name"),
  });
  expect(readdirSync(folder).length).toBe(rolloutLimits.idAttemptsMax);
});

test("of finished journals the newest stay, of others all", async () => {
  const count = rolloutLimits.journalsKept + 5;
  for (let number = 1; number <= count; number += 1) {
    const id = `r-20261122-${number}`;
    const text = encodeRecord(plan(id)) + (number === 2 ? "" : encodeRecord({ type: "finish" }));
    writeFileSync(join(folder, `${id}.jsonl`), text, { mode: 0o600 });
  }
  const { journal, unlock } = await (await openRollouts(folder, target, warn)).begin(wish, now);
  await journal.close();
  await unlock();
  const names = readdirSync(folder).filter((name) => name.endsWith(".jsonl"));
  const gone = [1, 3, 4, 5].map((number) => `r-20261122-${number}.jsonl`);
  expect(names.filter((name) => gone.includes(name))).toEqual([]);
  expect(names.length).toBe(count + 1 - gone.length);
  const lock = await lockApp(folder, target.app);
  expect(lock).toBeDefined();
  await lock?.close();
});
