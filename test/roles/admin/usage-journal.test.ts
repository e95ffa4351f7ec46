import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { FlyMachine } from "../../../src/fly/machine-shape.ts";
import { UsageJournal } from "../../../src/roles/admin/usage-journal.ts";
import { usageLimits } from "../../../src/roles/admin/usage-limits.ts";
import { rejection } from "../../support/rejection.ts";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "fvu-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const machines = (look: number): FlyMachine[] =>
  Array.from({ length: 1_000 }, (_, number) => ({
    id: `m${look}x${number}`,
    state: "started",
    created_at: "2026-11-01T00:00:00Z",
    config: { image: "registry.fly.io/app/init:v1", metadata: {} },
  }));

test("while nothing can be written only so much waits, and it goes on when that was written", async () => {
  const path = join(folder, "home", "usage.jsonl");
  const open = async (): Promise<UsageJournal> =>
    UsageJournal.open(path, { app: "app", tenant: undefined });
  const journal = await open();
  rmSync(join(folder, "home"), { recursive: true });
  writeFileSync(join(folder, "home"), "in the way");
  const look = async (number: number): Promise<void> =>
    journal.observe({
      machines: machines(number),
      volumeSizes: new Map(),
      observedAtMs: Date.parse("2026-11-02T00:00:00Z") + number,
    });
  const looks = 20;
  for (let number = 0; number < looks; number += 1)
    expect(await rejection(look(number))).toMatchObject({ code: "FV-CLI-001" });
  const known = journal.history.machines().length;
  expect(known).toBeGreaterThan(1_000);
  expect(known).toBeLessThan((looks * 1_000) / 2);
  rmSync(join(folder, "home"));
  // What was left out is still there to be seen.
  await look(looks - 1);
  const { history } = await open();
  expect(history.machines().length).toBe(known + 1_000);
  expect(usageLimits.unwrittenBytesMax).toBeLessThan(usageLimits.journalBytesMax);
});
