import { expect, test } from "bun:test";
import { NoteLines } from "../../../../src/roles/client/session/note-lines.ts";
import { clientLimits } from "../../../../src/roles/client/limits.ts";
import { memoryContext } from "../../../support/memory-context.ts";

const quietMs = clientLimits.noteQuietMs + 60;

test("lines wait for a quiet moment and for who owns the screen, and are cut to one row", async () => {
  const context = memoryContext({ tty: true, columns: 20 });
  let mayDraw = false;
  const notes = new NoteLines(context, () => mayDraw);
  notes.tell("one");
  notes.tell("a line that is longer than the row");
  await Bun.sleep(quietMs);
  expect(context.out()).toBe("");
  mayDraw = true;
  notes.changed();
  expect(context.out()).toBe("");
  await Bun.sleep(quietMs);
  expect(context.out()).toContain("\u001b[Lone".replace("[L", "[L\u001b[0m\u001b[2m"));
  expect(context.out()).toContain("a line that is long…");
  notes.close();
});

test("a session that never stops writing is waited for so long; of too many lines the oldest go", async () => {
  const context = memoryContext({ tty: true, env: { NO_COLOR: "1" } });
  const notes = new NoteLines(context, () => true);
  for (let at = 0; at < clientLimits.noteLinesMax + 2; at += 1) notes.tell(`line ${at};`);
  const startedMs = performance.now();
  while (context.out() === "") {
    notes.changed();
    await Bun.sleep(20);
    if (performance.now() - startedMs > clientLimits.noteHeldMs + 2000) break;
  }
  expect(performance.now() - startedMs).toBeGreaterThan(clientLimits.noteHeldMs - 50);
  expect(context.out()).not.toContain("line 1;");
  expect(context.out()).toContain("line 2;");
});

test("where the output is no terminal nothing is drawn", async () => {
  const context = memoryContext();
  const notes = new NoteLines(context, () => true);
  notes.tell("one");
  await Bun.sleep(quietMs);
  expect(context.out()).toBe("");
});
