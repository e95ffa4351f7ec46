import { expect, test } from "bun:test";
import fc from "fast-check";
import { Replay } from "../../../../src/roles/client/session/replay.ts";
import { seeded } from "../../../support/seed.ts";

const esc = "\u001b";
const margins = `${esc}7${esc}[r${esc}8`;

function replay(old: string, fresh = "", pieces = [0]): string {
  const bytes = Buffer.from(old + fresh, "latin1");
  const filter = new Replay(Buffer.from(old, "latin1").length);
  const cuts = [...new Set([0, ...pieces, bytes.length])].filter((cut) => cut <= bytes.length);
  cuts.sort((a, b) => a - b);
  let shown = "";
  for (let at = 1; at < cuts.length; at++) {
    const piece = bytes.subarray(cuts[at - 1], cuts[at]);
    const result = filter.isOver ? piece : filter.push(piece);
    shown += Buffer.from(result).toString("latin1");
  }
  return shown;
}

const questions = [
  `${esc}[6n`,
  `${esc}[?6n`,
  `${esc}[c`,
  `${esc}[>0c`,
  `${esc}[>q`,
  `${esc}[?2026$p`,
  `${esc}[?u`,
  `${esc}[18t`,
  `${esc}Z`,
  `${esc}]11;?\u0007`,
  `${esc}]4;1;?${esc}\\`,
  `${esc}]52;c;aGVsbG8=\u0007`,
  `${esc}]9;done\u0007`,
  `${esc}P+q544e${esc}\\`,
  `${esc}P$qm${esc}\\`,
  `${esc}_Gi=1,a=q;AAAA${esc}\\`,
  "\u0005",
  "\u0007",
];
const harmless = [
  "text \u00fc\n",
  `${esc}[1;31m`,
  `${esc}[?1049h`,
  `${esc}[2J${esc}[H`,
  `${esc}]0;a title?\u0007`,
  `${esc}]8;;http://x${esc}\\link${esc}]8;;${esc}\\`,
  `${esc}[>1u`,
  `${esc}[22;0;0t`,
  `${esc}(B`,
  `${esc}=`,
  `${esc}P1$r0m${esc}\\`,
];

test.each(questions)("%j is not asked a second time", (question) => {
  expect(replay(`a${question}b`, "c")).toBe(`ab${margins}c`);
});

test.each(harmless)("%j is shown as it was", (sequence) => {
  expect(replay(`a${sequence}b`, "c")).toBe(`a${sequence}b${margins}c`);
});

test("however it is cut, the same comes out, and what is fresh is not touched", () => {
  const part = fc.constantFrom(...questions, ...harmless, "x", "\r\n");
  const cuts = fc.array(fc.nat(200), { maxLength: 40 });
  fc.assert(
    fc.property(fc.array(part, { maxLength: 12 }), cuts, (parts, at) => {
      const old = `.${parts.join("")}`;
      const fresh = questions.join("");
      expect(replay(old, fresh, at)).toBe(
        `.${parts.filter((one) => !questions.includes(one)).join("")}${margins}${fresh}`,
      );
    }),
    seeded(300),
  );
});

test("what never ends is shown in the end, and lost output shortens the replay", () => {
  const endless = `${esc}]${"x".repeat(5000)}`;
  expect(replay(endless, "", [100, 4000])).toBe(endless + margins);
  expect(replay(`${esc}[3`, "1m")).toBe(`${esc}[3${margins}1m`);
  const short = new Replay(10);
  short.skip(8);
  expect(Buffer.from(short.push(Buffer.from("ab\u0007"))).toString()).toBe(`ab${margins}\u0007`);
  expect(short.isOver).toBeTrue();
});
