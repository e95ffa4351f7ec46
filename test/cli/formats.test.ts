import { expect, test } from "bun:test";
import { formatClock, formatDuration, parseDuration } from "../../src/cli/duration.ts";
import { writeJsonArray } from "../../src/cli/json-array.ts";
import { nearest } from "../../src/cli/nearest.ts";
import { cacheDirectory, configPath, expandPath, stateDirectory } from "../../src/cli/paths.ts";
import { Progress } from "../../src/cli/progress.ts";
import { formatSize, parseSize } from "../../src/cli/size.ts";
import { renderTable } from "../../src/cli/table.ts";
import { tomlPosition } from "../../src/cli/toml-position.ts";
import { memoryContext } from "../support/memory-context.ts";

test.each([
  ["500ms", 500],
  ["30s", 30_000],
  ["1.5s", 1500],
  ["5m", 300_000],
  ["1h30m", 5_400_000],
  ["1d", 86_400_000],
])("the duration %s is %i ms", (text, ms) => {
  expect(parseDuration(text)).toBe(ms);
});

test.each(["", "10", "1y", "-1s", "400d", "1 s", "s", "1e3s", "0x1s", "1s "])(
  "%j is none",
  (text) => {
    expect(parseDuration(text)).toBeUndefined();
  },
);

test.each([
  ["0", 0],
  ["4096", 4096],
  ["512K", 524_288],
  ["4M", 4_194_304],
  ["4MiB", 4_194_304],
  ["4mb", 4_194_304],
  ["1G", 1_073_741_824],
])("the size %s is %i bytes", (text, bytes) => {
  expect(parseSize(text)).toBe(bytes);
});

test.each(["", "M", "-1", "1.5M", "4 M", "4T", "0x10", "1e3", "9999999999999", "999999999999G"])(
  "the size %j is none",
  (text) => {
    expect(parseSize(text)).toBeUndefined();
  },
);

test("times and sizes read well", () => {
  expect([0, 450, 9_960, 12_400, 110_000, 7_500_000].map(formatDuration)).toEqual([
    "0.0 s",
    "0.5 s",
    "10.0 s",
    "12 s",
    "1 m 50 s",
    "2 h 05 m",
  ]);
  expect([0, 14_000, 3_725_000].map(formatClock)).toEqual(["00:00", "00:14", "1:02:05"]);
  expect([0, 1023, 1024, 5_000_001, 3 * 2 ** 30, 5 * 2 ** 40].map(formatSize)).toEqual([
    "0 B",
    "1023 B",
    "1.0 KiB",
    "4.8 MiB",
    "3.0 GiB",
    "5.0 TiB",
  ]);
});

test("a near word is at most two edits and a third of its length away", () => {
  const words = ["connect", "exec", "list-exec", "build"];
  expect(nearest("conect", words)).toBe("connect");
  expect(nearest("exce", words)).toBe("exec");
  expect(nearest("biuld", words)).toBe("build");
  expect(nearest("EXEC", words)).toBe("exec");
  expect(nearest("ex", words)).toBeUndefined();
  expect(nearest("bald", words)).toBeUndefined();
  expect(nearest("conne", words)).toBeUndefined();
  expect(nearest("", words)).toBeUndefined();
});

test("tables have two spaces between columns and no blanks at line ends", () => {
  expect(
    renderTable(
      ["A", "BB"],
      [
        ["x", "y"],
        ["größe", ""],
      ],
    ),
  ).toBe("A      BB\nx      y\ngröße\n");
});

test("paths follow the variables, and a relative XDG one is ignored", () => {
  expect(configPath({ HOME: "/h" })).toBe("/h/.config/fly-vault/config.toml");
  expect(configPath({ HOME: "/h", XDG_CONFIG_HOME: "/x" })).toBe("/x/fly-vault/config.toml");
  expect(configPath({ HOME: "/h", XDG_CONFIG_HOME: "rel" })).toBe(
    "/h/.config/fly-vault/config.toml",
  );
  expect(configPath({ HOME: "/h", FLY_VAULT_CONFIG: "/c.toml" })).toBe("/c.toml");
  expect(configPath({ FLY_VAULT_HOME: "/all" })).toBe("/all/config.toml");
  expect(stateDirectory({ HOME: "/h" })).toBe("/h/.local/state/fly-vault");
  expect(cacheDirectory({ HOME: "/h", XDG_CACHE_HOME: "/c" })).toBe("/c/fly-vault");
  expect(expandPath("~/a", { HOME: "/h" }, "/f")).toBe("/h/a");
  expect(expandPath("a", {}, "/f")).toBe("/f/a");
  expect(expandPath("/a", {}, "/f")).toBe("/a");
  expect(expandPath("~user/a", {}, "/f")).toBe("/f/~user/a");
});

test("a key's line is found in its own table", () => {
  const text = '[vault.a]\norg = 1\n\n[vault."b.c"]\n# org\n"org" = 2\n[x]\n';
  expect(tomlPosition(text, ["vault", "a", "org"])).toBe(2);
  expect(tomlPosition(text, ["vault", "b.c", "org"])).toBe(6);
  expect(tomlPosition(text, ["vault", "b.c"])).toBe(4);
  expect(tomlPosition(text, ["vault", "a", "app"])).toBe(1);
  expect(tomlPosition(text, ["nope"])).toBeUndefined();
});

test("tomlPosition counts tables of arrays and knows dotted and quoted keys", () => {
  const source = `a.b = 1
[[list]]
x = 1
[[list]]
x = 2
[list.sub]
"quoted.key" = 3
# x = 9
inline = { deep = 1 }
`;
  expect(tomlPosition(source, ["a", "b"])).toBe(1);
  expect(tomlPosition(source, ["list", 0, "x"])).toBe(3);
  expect(tomlPosition(source, ["list", 1, "x"])).toBe(5);
  expect(tomlPosition(source, ["list", 1, "sub", "quoted.key"])).toBe(7);
  expect(tomlPosition(source, ["list", 1, "sub", "inline", "deep"])).toBe(9);
  expect(tomlPosition(source, ["list", 1])).toBe(4);
  expect(tomlPosition(source, ["missing"])).toBeUndefined();
});

function progressAt(tty: boolean, env: Record<string, string> = {}) {
  const context = memoryContext({ tty, env, columns: 30 });
  let nowMs = 0;
  const timed = { ...context, monotonicMs: () => nowMs };
  const progress = new Progress(timed, "working");
  const at = (ms: number, line: string): void => {
    nowMs = ms;
    progress.update(() => line);
  };
  return { progress, at, err: context.err };
}

test("on a terminal nothing is drawn in the first 300 ms, then at most ten times a second", async () => {
  const { progress, at, err } = progressAt(true);
  for (let ms = 0; ms < 300; ms += 10) at(ms, "early");
  expect(err()).toBe("");
  for (let ms = 300; ms <= 1300; ms += 10) at(ms, `line ${"x".repeat(40)}`);
  const drawn = err().split("\r\u001b[2K").slice(1);
  expect(drawn).toHaveLength(11);
  for (const line of drawn) expect(line.length).toBeLessThan(30);
  await progress.finish("done");
  expect(err()).toEndWith("\r\u001b[2Kdone in 1.3 s\n");
});

test("on a terminal what came too soon is drawn a little later, the newest of it", async () => {
  const { progress, at, err } = progressAt(true);
  at(300, "first");
  at(310, "too soon");
  at(320, "newest");
  while (!err().includes("newest")) await Bun.sleep(5);
  expect(err()).toBe("\r\u001b[2Kfirst\r\u001b[2Knewest");
  at(330, "never");
  await progress.abandon();
  await Bun.sleep(150);
  expect(err()).toEndWith("newest\r\u001b[2K");
});

test("a step is a line of its own in a pipe", async () => {
  const { progress, at, err } = progressAt(false);
  at(9999, "not yet");
  progress.step(() => "sync");
  at(10_000, "nor now");
  at(19_999, "ten seconds after");
  expect(err()).toBe("working\nsync\nten seconds after\n");
});

test("what is quick leaves one line", async () => {
  const { progress, at, err } = progressAt(true);
  at(200, "never");
  await progress.finish("done");
  expect(err()).toBe("done in 0.2 s\n");
});

test.each([
  ["a pipe", false, {}],
  ["a dumb terminal", true, { TERM: "dumb" }],
  ["CI", true, { CI: "true" }],
] as const)(
  "in %s: a line at the start, every ten seconds, and at the end",
  async (_name, tty, env) => {
    const { progress, at, err } = progressAt(tty, env);
    for (let ms = 0; ms <= 25_000; ms += 100) at(ms, `at ${ms}`);
    await progress.finish("done");
    expect(err()).toBe("working\nat 10000\nat 20000\ndone in 25 s\n");
  },
);

test("work that failed leaves nothing of its line", async () => {
  const { progress, at, err } = progressAt(true);
  at(400, "half");
  await progress.abandon();
  expect(err()).toBe("\r\u001b[2Khalf\r\u001b[2K");
});

test("a long JSON array is written in pieces, and is what JSON.stringify makes of it", async () => {
  const row = { text: "line\nbreak", list: [1, { deep: [] }], none: null, empty: {} };
  for (const count of [0, 1, 2, 3_000]) {
    const rows = Array.from({ length: count }, () => row);
    const pieces: string[] = [];
    await writeJsonArray(
      { write: async (piece) => void pieces.push(String(piece)) },
      rows.values(),
    );
    expect(pieces.join("")).toBe(`${JSON.stringify(rows, undefined, 2)}\n`);
    expect(Math.max(...pieces.map(({ length }) => length))).toBeLessThan(70_000);
  }
});
