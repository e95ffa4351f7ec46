import { afterEach, expect, test } from "bun:test";
import {
  appendFileSync,
  chmodSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import type { FlyMachine } from "../../../src/fly/machine-shape.ts";
import { usageDocument } from "../../../src/roles/admin/usage-document.ts";
import { UsageHistory } from "../../../src/roles/admin/usage-history.ts";
import { TooManyIntervals, usageIntervals } from "../../../src/roles/admin/usage-interval.ts";
import { UsageJournal } from "../../../src/roles/admin/usage-journal.ts";
import { usageLimits } from "../../../src/roles/admin/usage-limits.ts";
import { UsageMachine } from "../../../src/roles/admin/usage-machine.ts";
import { decodeRecord } from "../../../src/roles/admin/usage-record.ts";
import { versionTimeMs } from "../../../src/roles/admin/usage-shape.ts";
import type { UsageSnapshot } from "../../../src/roles/admin/usage-snapshot.ts";
import { ulid } from "../../../src/roles/local/identifier.ts";
import { rejection } from "../../support/rejection.ts";
import { seeded } from "../../support/seed.ts";
import { schemaOfUsageFacts } from "./usage-schema.ts";

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});
const journalFile = (): string => {
  const folder = mkdtempSync(join(tmpdir(), "fvu-"));
  folders.push(folder);
  return join(folder, "deep", "usage.jsonl");
};
const app = "vault-tenants";
const openJournal = async (path: string, tenant?: string): Promise<UsageJournal> =>
  UsageJournal.open(path, { app, tenant });

const day = Date.parse("2026-11-01T00:00:00Z");
const at = (minute: number): number => day + minute * 60_000;
const iso = (minute: number): string => new Date(at(minute)).toISOString();
type Told = readonly [status: string, minute: number];

function machine(state: string, told: readonly Told[], more: Record<string, unknown> = {}) {
  return {
    id: "148e21ea7e46e8",
    state,
    region: "ord",
    created_at: iso(0),
    updated_at: iso(told.at(-1)?.[1] ?? 0),
    events: told.map(([status, minute]) => ({ type: "x", status, timestamp: at(minute) })),
    config: {
      guest: { cpu_kind: "shared", cpus: 1, memory_mb: 256 },
      metadata: { "fly_vault.tenant_id": "acme" },
      mounts: [{ volume: "vol_1", path: "/data" }],
    },
    ...more,
  } satisfies FlyMachine;
}
const seen = (minute: number, ...machines: FlyMachine[]): UsageSnapshot => ({
  observedAtMs: at(minute),
  machines,
  volumeSizes: new Map([["vol_1", 10]]),
});
const spans = (history: UsageHistory, since: number, until: number): unknown[] =>
  usageIntervals(history.machines(), { sinceMs: at(since), untilMs: at(until) }).map(
    ({ state, fromMs, toMs, isOngoing, isEstimated }) =>
      [
        state,
        (fromMs - day) / 60_000,
        (toMs - day) / 60_000,
        isOngoing ? "ongoing" : undefined,
        isEstimated ? "estimated" : undefined,
      ].filter((word) => word !== undefined),
  );

test("a poll that was missed loses nothing: the events tell of it", () => {
  const history = new UsageHistory();
  history.observe(seen(3, machine("started", [["started", 1]])), undefined);
  // Nobody looked for ten hours, in which it stopped, ran and stopped.
  const told: Told[] = [
    ["started", 1],
    ["stopped", 60],
    ["started", 120],
    ["suspended", 300],
  ];
  history.observe(seen(600, machine("suspended", told)), undefined);
  expect(spans(history, 0, 600)).toEqual([
    ["created", 0, 1],
    ["started", 1, 60],
    ["stopped", 60, 120],
    ["started", 120, 300],
    ["suspended", 300, 600, "ongoing"],
  ]);
  expect(spans(history, 30, 130)).toEqual([
    ["started", 30, 60],
    ["stopped", 60, 120],
    ["started", 120, 130, "ongoing"],
  ]);
});

test("what Fly has forgotten is still in the journal", () => {
  const history = new UsageHistory();
  history.observe(
    seen(
      70,
      machine("stopped", [
        ["started", 1],
        ["stopped", 60],
      ]),
    ),
    undefined,
  );
  history.observe(seen(200, machine("started", [["started", 120]])), undefined);
  expect(spans(history, 0, 200)).toEqual([
    ["created", 0, 1],
    ["started", 1, 60],
    ["stopped", 60, 120],
    ["started", 120, 200, "ongoing"],
  ]);
});

const quiet = (minute: number) => machine("started", [], { updated_at: iso(minute) });

test("without an event the time of the last change stands in, once", () => {
  const history = new UsageHistory();
  history.observe(seen(10, quiet(5)), undefined);
  expect(history.observe(seen(20, quiet(15)), undefined)).toEqual([{ kind: "poll", at: at(20) }]);
  expect(spans(history, 0, 20)).toEqual([
    ["created", 0, 5, "estimated"],
    ["started", 5, 20, "ongoing", "estimated"],
  ]);
});

test("a deleted machine ends, and a migrated one does not", () => {
  const history = new UsageHistory();
  const moved: Told[] = [
    ["started", 1],
    ["destroyed", 30],
    ["started", 31],
  ];
  history.observe(seen(40, machine("started", moved, { created_at: iso(29) })), undefined);
  expect(spans(history, 0, 40)).toEqual([["started", 1, 40, "ongoing"]]);
  history.observe(seen(90, machine("destroyed", [...moved, ["destroyed", 80]])), undefined);
  // Now that it is gone it is told of both: the first of its copies is no end of it.
  expect(spans(history, 0, 90).at(-1)).toEqual(["started", 1, 80]);
});

test("a machine that is not listed any more ends, unless it comes back", () => {
  const history = new UsageHistory();
  history.observe(seen(10, machine("started", [["started", 1]])), undefined);
  expect(history.observe(seen(20), undefined)[0]).toEqual({
    kind: "missing",
    machine: "148e21ea7e46e8",
    at: at(20),
  });
  expect(history.observe(seen(21), undefined)).toEqual([]);
  expect(spans(history, 1, 30)).toEqual([["started", 1, 20, "estimated"]]);
  history.observe(seen(30, machine("started", [["started", 1]])), undefined);
  expect(spans(history, 1, 30)).toEqual([["started", 1, 30, "ongoing"]]);
  // Another tenant's list does not have it, and says nothing.
  expect(history.observe(seen(40), "zeta")).toEqual([{ kind: "poll", at: at(40) }]);
});

test("a new size cuts the interval where the machine got it", () => {
  const history = new UsageHistory();
  const sized = (memoryMb: number, minute: number) =>
    machine("started", [["started", 1]], {
      version: ulid(at(minute)),
      config: { guest: { memory_mb: memoryMb } },
    });
  history.observe(seen(10, sized(256, 0)), undefined);
  history.observe(seen(60, sized(1024, 40)), undefined);
  // A host that does not answer has not got smaller.
  history.observe(seen(70, machine("started", [["started", 1]], { config: null })), undefined);
  const rows = usageIntervals(history.machines(), { sinceMs: at(1), untilMs: at(70) });
  expect(rows.map(({ fromMs, toMs, shape }) => [fromMs, toMs, shape.memory_mib])).toEqual([
    [at(1), at(40), 256],
    [at(40), at(70), 1024],
  ]);
  expect(versionTimeMs({ id: "a", state: "started", version: "not-a-ulid" })).toBeUndefined();
});

test("intervals never overlap, and fill the time from creation to deletion", () => {
  const told = fc.array(
    fc.tuple(fc.constantFrom("started", "stopped", "suspended"), fc.integer({ min: 1, max: 900 })),
    { minLength: 1, maxLength: 12 },
  );
  const polls = fc.uniqueArray(fc.integer({ min: 1, max: 900 }), { maxLength: 6 });
  fc.assert(
    fc.property(told, polls, (events, minutes) => {
      const sorted = events.toSorted((a, b) => a[1] - b[1]);
      const history = new UsageHistory();
      for (const minute of [...minutes.toSorted((a, b) => a - b), 1_000]) {
        // As Fly would tell it then: some of the last events.
        const past = sorted.filter(([, when]) => when <= minute);
        const state = past.at(-1)?.[0] ?? "created";
        history.observe(seen(minute, machine(state, past)), undefined);
      }
      const rows = usageIntervals(history.machines(), { sinceMs: at(0), untilMs: at(1_000) });
      let end = at(0);
      for (const { fromMs, toMs } of rows) {
        expect(fromMs).toBe(end);
        expect(toMs).toBeGreaterThan(fromMs);
        end = toMs;
      }
      expect(end).toBe(at(1_000));
      // However often somebody looked, it comes to what the events say.
      const run = (all: typeof rows): number =>
        all.reduce((sum, row) => sum + (row.state === "started" ? row.toMs - row.fromMs : 0), 0);
      const once = new UsageHistory();
      once.observe(seen(1_000, machine(sorted.at(-1)?.[0] ?? "created", sorted)), undefined);
      const direct = usageIntervals(once.machines(), { sinceMs: at(0), untilMs: at(1_000) });
      expect(run(rows)).toBe(run(direct));
    }),
    seeded(200),
  );
});

test("more intervals than one answer may have are refused", () => {
  const many = new UsageMachine("a");
  for (let index = 0; index < usageLimits.intervalsMax + 2; index += 1) {
    const state = index % 2 === 0 ? "started" : "stopped";
    many.addTransition({ state, atMs: at(0) + index, isEstimated: false });
  }
  const window = { sinceMs: at(0), untilMs: at(0) + usageLimits.intervalsMax };
  expect(usageIntervals([many], window).length).toBe(usageLimits.intervalsMax);
  expect(() => usageIntervals([many], { ...window, untilMs: window.untilMs + 1 })).toThrow(
    TooManyIntervals,
  );
});

test("the journal is read back as it was, whatever it was killed in", async () => {
  const path = journalFile();
  const first = await openJournal(path);
  await first.observe(seen(3, machine("started", [["started", 1]])));
  const whole = readFileSync(path, "utf8");
  expect(whole.split("\n").length).toBeGreaterThan(3);
  for (let length = 0; length <= whole.length; length += 7) {
    writeFileSync(path, whole.slice(0, length));
    const again = await openJournal(path);
    await again.observe(seen(5, machine("started", [["started", 1]])));
    const reread = await openJournal(path);
    expect(spans(reread.history, 1, 5)).toEqual([["started", 1, 5, "ongoing"]]);
  }
});

test("two programs may write one journal", async () => {
  const path = journalFile();
  const [one, two] = [await openJournal(path), await openJournal(path)];
  const stopped = machine("stopped", [
    ["started", 1],
    ["stopped", 9],
  ]);
  await Promise.all([one.observe(seen(10, stopped)), two.observe(seen(10, stopped))]);
  const { history } = await openJournal(path);
  expect(spans(history, 1, 10)).toEqual([
    ["started", 1, 9],
    ["stopped", 9, 10, "ongoing"],
  ]);
});

test("a write that failed is made up for by the next", async () => {
  const path = journalFile();
  const journal = await openJournal(path);
  rmSync(join(path, ".."), { recursive: true });
  writeFileSync(join(path, ".."), "in the way");
  const started = machine("started", [["started", 1]]);
  expect(await rejection(journal.observe(seen(3, started)))).toMatchObject({ code: "FV-CLI-001" });
  rmSync(join(path, ".."));
  await journal.observe(
    seen(
      500,
      machine("started", [
        ["started", 1],
        ["stopped", 4],
      ]),
    ),
  );
  const { history } = await openJournal(path);
  expect(spans(history, 1, 5)[0]).toEqual(["started", 1, 4]);
});

test("a journal that is full is not written any further, so that it can be read again", async () => {
  const path = journalFile();
  await openJournal(path);
  appendFileSync(path, " ".repeat(usageLimits.journalBytesMax - statSync(path).size - 100));
  const journal = await openJournal(path);
  const full = await rejection(journal.observe(seen(3, machine("started", [["started", 1]]))));
  expect(full).toMatchObject({ because: expect.stringContaining("it is full") });
  await openJournal(path);
});

test("a poll is written down now and then, not each time", () => {
  const history = new UsageHistory();
  const same = machine("started", [["started", 1]]);
  history.observe(seen(10, same), undefined);
  const marks = Array.from({ length: 60 }, (_, index) =>
    history.observe(seen(11 + index, same), undefined),
  );
  expect(marks.flat().length).toBe((60 * 60_000) / usageLimits.pollMarkMs);
});

test("journals of others are refused: another app, a newer form, too long, writable by all", async () => {
  const path = journalFile();
  await openJournal(path);
  const other = UsageJournal.open(path, { app: "other", tenant: undefined });
  expect(await rejection(other)).toMatchObject({
    message: expect.stringContaining(`of app "${app}"`),
  });
  appendFileSync(path, `{"kind":"app","version":2,"app":"${app}"}\n`);
  expect(await rejection(openJournal(path))).toMatchObject({
    message: expect.stringContaining("newer"),
  });
  const open = journalFile();
  await openJournal(open);
  chmodSync(open, 0o666);
  expect(await rejection(openJournal(open))).toMatchObject({
    because: expect.stringContaining("written by others"),
  });
  const long = journalFile();
  await openJournal(long);
  truncateSync(long, usageLimits.journalBytesMax + 1);
  expect(await rejection(openJournal(long))).toMatchObject({
    fix: expect.stringContaining("move it"),
  });
});

test("a line that is none, or of a kind to come, is skipped", () => {
  for (const line of ["", "{", "null", '{"kind":"later"}', '{"kind":"poll"}'])
    expect(decodeRecord(line)).toBeUndefined();
});

test("the document fits its schema", () => {
  const history = new UsageHistory();
  const snapshot = seen(
    90,
    machine("destroyed", [
      ["started", 1],
      ["destroyed", 80],
    ]),
  );
  history.observe(snapshot, undefined);
  const window = { sinceMs: at(0), untilMs: at(90) };
  const document = usageDocument(snapshot, history, { app, window, tenant: undefined });
  expect(schemaOfUsageFacts.problems(document)).toEqual([]);
  expect(document).toMatchObject({
    data: {
      facts: [{ tenant_id: "acme", memory_mib: 256, state_since: iso(80), deleted_at: iso(80) }],
      intervals: [
        { state: "created", duration_ms: 60_000 },
        { state: "started", duration_ms: 79 * 60_000, volumes: [{ size_gib: 10 }] },
      ],
    },
  });
});

test("a clock that was years ahead for a while does not fill the journal afterwards", () => {
  const history = new UsageHistory();
  const running = machine("started", [["started", 1]]);
  const ahead = { ...seen(10, running), observedAtMs: at(10) + 10 * 365 * 86_400_000 };
  history.observe(ahead, undefined);
  const grown = (minute: number): UsageSnapshot => ({
    ...seen(minute, running),
    volumeSizes: new Map([["vol_1", 20]]),
  });
  expect(history.observe(grown(20), undefined).map(({ kind }) => kind)).toEqual(["shape", "poll"]);
  for (const minute of [21, 22, 23]) expect(history.observe(grown(minute), undefined)).toEqual([]);
  expect(spans(history, 1, 23)).toEqual([
    ["started", 1, 20],
    ["started", 20, 23, "ongoing"],
  ]);
});

test("an event that lacks its id, or has null for what is not known, is an event", () => {
  const history = new UsageHistory();
  const events = [
    { id: null, type: "start", status: "started", timestamp: at(1) },
    { id: "2", type: "stop", status: null, timestamp: at(7), source: null },
  ];
  history.observe(seen(9, machine("stopped", [], { events })), undefined);
  expect(spans(history, 1, 9)).toEqual([
    ["started", 1, 7],
    ["stopped", 7, 9, "ongoing"],
  ]);
});
