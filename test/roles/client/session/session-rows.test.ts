import { expect, test } from "bun:test";
import { renderTable, renderTabs } from "../../../../src/cli/table.ts";
import type { ListedSession } from "../../../../src/roles/client/session/session-choice.ts";
import {
  quoteWords,
  sessionHeads,
  sessionRows,
} from "../../../../src/roles/client/session/session-rows.ts";
import { memoryContext } from "../../../support/memory-context.ts";

const session: ListedSession = {
  session_id: "0123456789abcdef0123456789abcdef",
  generation: "g",
  argv: ["make", "-j8", "a long target", ...Array.from({ length: 20 }, () => "x")],
  context: "nightly\nbuild",
  user: "root",
  cwd: "/",
  tty: false,
  state: "running",
  pid: 4,
  attached: true,
  clients: 2,
  stdout_bytes: 3 << 20,
  stderr_bytes: 0,
  started_at: "2026-11-23T12:00:00.000Z",
  ended_at: null,
  exit_code: null,
  exit: null,
};

test("nothing is cut in a pipe", () => {
  const text = renderTable(sessionHeads, sessionRows([session], memoryContext()));
  expect(text.split("\n")[1]).toBe(
    `${session.session_id}  make -j8 'a long target' ${Array(20).fill("x").join(" ")}  running  2         2026-11-23T12:00:00.000Z  3.0 MiB  nightly build`,
  );
});

test("at a terminal one session is one line", () => {
  const at = Date.parse(session.started_at) + 125_000;
  const context = { ...memoryContext({ tty: true, columns: 90 }), wallMs: () => at };
  const text = renderTable(sessionHeads, sessionRows([session], context));
  const line = text.split("\n")[1] ?? "";
  expect(line).toMatch(
    /^01234567 {2}make -j8 '.*… {2}running {2}2 {9}2 m 05 s ago {2}3\.0 MiB {2}nightly build$/,
  );
  expect(Bun.stringWidth(line)).toBe(90);
  const narrow = { ...memoryContext({ tty: true, columns: 20 }), wallMs: () => at };
  expect(sessionRows([session], narrow)[0]?.[1]).toBe("make -j8 'a lon…");
});

test.each([
  [{ code: 2 }, "exited 2"],
  [{ signal: 15 }, "killed by SIGTERM"],
  [{ signal: 9, out_of_memory: true }, "killed by SIGKILL, out of memory"],
  [{ signal: 15, timed_out: true }, "timed out"],
])("%j is %j", (exit, state) => {
  expect(sessionRows([{ ...session, exit }], memoryContext())[0]?.[2]).toBe(state);
});

test("tabs are between columns alone", () => {
  const text = renderTabs(["A", "B"], [["a\tb", "c\nd"]]);
  expect(text).toBe("A\tB\na b\tc d\n");
});

test("words are quoted as a shell reads them", () => {
  const words = ["a", "b c", "", "it's", "$x", "k=v", "é"];
  const { stdout } = Bun.spawnSync(["sh", "-c", `printf '%s\\n' ${quoteWords(words)}`]);
  expect(stdout.toString()).toBe(`${words.join("\n")}\n`);
});
