import { expect, test } from "bun:test";
import { explanations } from "../../src/cli/explanations.ts";
import { type FailureCode, failureCodes } from "../../src/cli/failure-codes.ts";

const sources = await Promise.all(
  [...new Bun.Glob("src/**/*.ts").scanSync()]
    .filter((path) => !/failure-codes|explanations/.test(path))
    .map(async (path) => ({ path, text: await Bun.file(path).text() })),
);

const literal = '("(?:[^"\\\\]|\\\\.)*"|`(?:[^`\\\\]|\\\\.)*`)';
const messages = [
  new RegExp(`new Failure\\(\\s*[^,()]+,\\s*${literal}`, "gu"),
  new RegExp(`new (?:UsageError|MissingCommand)\\(\\s*${literal}`, "gu"),
  new RegExp(`\\b(?:because|fix): ${literal}`, "gu"),
];

/** Every message that stands in the sources, without its quotes. */
const written = sources.flatMap(({ path, text }) =>
  messages.flatMap((pattern) =>
    [...text.matchAll(pattern)].map(([, words = ""]) => ({ path, words: words.slice(1, -1) })),
  ),
);

test.each(Object.entries(failureCodes))("%s is explained, and made somewhere", (code, about) => {
  const { title, exitCode } = about;
  expect(title).toMatch(/^(?:[a-z]|Fly|SSH).*[^.!]$/);
  expect([1, 2, 3, 4, 5, 6, 7, 8, 9, 124, 125, 126, 127, 255]).toContain(exitCode);
  const { meaning, remedy } = explanations[code as FailureCode];
  for (const text of [meaning, remedy]) expect(text).toMatch(/.\.$/s);
  const makers = sources.filter(({ text }) => text.includes(`"${code}"`));
  expect(makers.map(({ path }) => path)).not.toEqual([]);
});

test("the scanner sees nearly all of them", () => {
  const made = sources
    .map(({ text }) => text.match(/new (?:Failure|UsageError)\(/gu)?.length ?? 0)
    .reduce((sum, count) => sum + count, 0);
  expect(made).toBeGreaterThan(250);
  expect(written.length / made).toBeGreaterThan(0.9);
});

test("messages begin small, end without a full stop, and name what is wrong", () => {
  const wrong = written.filter(({ words }) =>
    [
      // Names keep their capital: of Fly, of programs, of arguments.
      /^(?!Fly|Machines|Unix)[A-Z][a-z]/u,
      /[.!]$/u,
      /something went wrong|unknown error|unexpected error|an error occurred|os error \d/iu,
      /\b(?:please|sorry|oops)\b/iu,
    ].some((pattern) => pattern.test(words)),
  );
  expect(wrong).toEqual([]);
});
