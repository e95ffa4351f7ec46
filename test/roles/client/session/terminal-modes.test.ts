import { expect, test } from "bun:test";
import fc from "fast-check";
import { TerminalModes } from "../../../../src/roles/client/session/terminal-modes.ts";
import { seeded } from "../../../support/seed.ts";

const esc = "\u001b";

function undo(...texts: string[]): string {
  const modes = new TerminalModes();
  for (const text of texts) modes.push(Buffer.from(text, "latin1"));
  return modes.undo();
}

test.each([
  ["plain text", ""],
  [`${esc}[?1049h`, `${esc}[?1049l`],
  [`${esc}[?1049h${esc}[?1049l`, ""],
  [`${esc}[?1000;1006h`, `${esc}[?1000l${esc}[?1006l`],
  [`${esc}[?25l`, `${esc}[?25h`],
  [`${esc}[?25l${esc}[?25h`, ""],
  [`${esc}[31mred`, `${esc}[0m`],
  [`${esc}[31mred${esc}[0m ${esc}[1m${esc}[m`, ""],
  [`${esc}[>1u${esc}[>5u${esc}[<u`, `${esc}[<1u`],
  [`${esc}=`, `${esc}>`],
  [`${esc}[?2004h${esc}[?25l${esc}c`, ""],
  // A cursor as editors have it, and keys as they want them.
  [`${esc}[5 q`, `${esc}[0 q`],
  [`${esc}[5 q${esc}[0 q${esc}[3 q${esc}[ q`, ""],
  [`${esc}[>4;2m`, `${esc}[>4m`],
  [`${esc}[>4;2m${esc}[>4;m`, ""],
  [`${esc}[>1;2m`, ""],
  [`${esc}[=5u`, `${esc}[=0u`],
  [`${esc}[=5u${esc}[=0u`, ""],
  [`${esc}[>1u${esc}[=5u`, `${esc}[<1u`],
  [`${esc}[?5h${esc}[?2031h${esc}[?2048h`, `${esc}[?5l${esc}[?2031l${esc}[?2048l`],
  // The screen's own margins outlive the alternate screen; the cursor stays where it is.
  [`${esc}[?1049h${esc}[2;9r`, `${esc}[?1049l${esc}7${esc}[r${esc}8`],
  [`${esc}[2;9r${esc}[r`, ""],
  // Somebody who leaves in the middle of a frame of lines wants to read their prompt.
  [`${esc}(0lqqk`, `${esc}(B`],
  [`${esc}(0lqqk${esc}(B`, ""],
  [`${esc})0\u000elqqk`, `${esc})B\u000f`],
  [`${esc}[?25l${esc}[2;9r${esc}(0${esc}[5 q${esc}[!p`, `${esc}[0 q`],
  // Line wrap and their like are not ours to change.
  [`${esc}[?7l`, ""],
])("after %j the undoing is %j", (text, expected) => {
  expect(undo(text)).toBe(expected);
});

test("what was undone is redone, for one who comes back from a suspended client", () => {
  const modes = new TerminalModes();
  modes.push(
    Buffer.from(`${esc}[?1049h${esc}[?2004h${esc}[>1u${esc}[>5u${esc}=${esc}[?25l${esc}[1m`),
  );
  expect(modes.undo()).toBe(`${esc}[?1049l${esc}[?2004l${esc}[<2u${esc}>${esc}[?25h${esc}[0m`);
  expect(modes.redo()).toBe(`${esc}[?1049h${esc}[?2004h${esc}[>1u${esc}[>5u${esc}=${esc}[?25l`);
  modes.push(Buffer.from(`${esc}c`));
  expect(modes.undo() + modes.redo()).toBe("");
});

test("pushes of the keyboard protocol are followed to a limit", () => {
  const modes = new TerminalModes();
  modes.push(Buffer.from(`${esc}[>1u`.repeat(200)));
  expect(modes.undo()).toBe(`${esc}[<64u`);
});

test("it does not matter how the output is cut", () => {
  const pieces = fc.constantFrom(
    `${esc}[?1049h`,
    `${esc}[?25l`,
    `${esc}[?1000;1006h`,
    `${esc}[?1006l`,
    `${esc}[0m`,
    `${esc}[>1u`,
    `${esc}[5 q`,
    `${esc}[>4;2m`,
    `${esc}(0`,
    `${esc}[2;9r`,
    "text\r\n",
    `${esc}]0;title\u0007`,
    esc,
    `${esc}[`,
  );
  fc.assert(
    fc.property(fc.array(pieces, { maxLength: 12 }), fc.array(fc.nat(120)), (parts, cuts) => {
      const text = parts.join("");
      const points = [0, ...cuts.filter((cut) => cut < text.length), text.length];
      points.sort((a, b) => a - b);
      const slices = points.slice(1).map((end, index) => text.slice(points[index], end));
      expect(undo(...slices)).toBe(undo(text));
    }),
    seeded(500),
  );
});

test("an endless sequence is not kept", () => {
  const modes = new TerminalModes();
  for (let i = 0; i < 1000; i++) modes.push(Buffer.from(`${esc}[?${"1;".repeat(200)}`));
  modes.push(Buffer.from(`${esc}[?2004h`));
  expect(modes.undo()).toBe(`${esc}[?2004l`);
});
