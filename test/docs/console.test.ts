import { afterAll, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { makeRootfsArchive } from "../support/rootfs-archive.ts";
import { consoleSteps, type Step } from "./console-block.ts";
import { isAsShown, isLineAsShown, printedLines } from "./loose-output.ts";
import { type Answer, PageShell } from "./page-shell.ts";
import { beginning, exceptions, fromNothing } from "./pages.ts";

/** Every console block of the documentation, followed from top to bottom: docs/testing.md has the rules. */

const root = resolve(import.meta.dir, "../..");
const pageLimitMs = 180_000;
const folder = await mkdtemp(join(tmpdir(), "fv-docs-rootfs-"));
const rootfs = await makeRootfsArchive(folder, {
  format: "tar.zst",
  files: { "root/.profile": "PS1='root@acme:\\w# '\n", "etc/debian_version": "12.15\n" },
});
const stage = await PageShell.open(rootfs);
afterAll(async () => {
  await stage[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

/** In the order of the index, as a reader would take them. */
const index = readFileSync(join(root, "docs/README.md"), "utf8");
const pages = [...index.matchAll(/\]\(([a-z-]+\.md)\)/g)].map(([, name]) => `docs/${name}`);
const others = pages.filter(
  (page) => page !== beginning.page && !fromNothing.includes(page) && stepsOf(page).length > 0,
);

for (const page of fromNothing)
  test(
    `${page} does what it says`,
    async () => {
      await using own = await PageShell.open(rootfs);
      await follow(own, page, stepsOf(page));
    },
    pageLimitMs,
  );

const first = stepsOf(beginning.page, beginning.untilHeading);
test(beginning.page, async () => follow(stage, beginning.page, first), pageLimitMs);

for (const page of others)
  test(
    `${page} goes on from there`,
    async () => stage.inChild(async () => follow(stage, page, stepsOf(page))),
    pageLimitMs,
  );

test(
  `${beginning.page}, its end`,
  async () => follow(stage, beginning.page, stepsOf(beginning.page).slice(first.length)),
  pageLimitMs,
);

test("every page is in the index", () => {
  const all = readdirSync(join(root, "docs"))
    .filter((name) => name.endsWith(".md") && name !== "README.md")
    .map((name) => `docs/${name}`);
  expect(pages.toSorted()).toEqual(all.toSorted());
});

test("every exception is one of some page", () => {
  const commands = ["README.md", ...pages].flatMap((page) =>
    stepsOf(page).map(({ command }) => command),
  );
  const unused = exceptions.filter(
    (exception) => !commands.some((command) => exception.command.test(command)),
  );
  expect(unused).toEqual([]);
});

function stepsOf(page: string, untilHeading?: string): Step[] {
  return consoleSteps(readFileSync(join(root, page), "utf8"), untilHeading);
}

async function follow(shell: PageShell, page: string, steps: readonly Step[]): Promise<void> {
  for (const step of steps) {
    const exception = exceptions.find(({ command }) => command.test(step.command));
    if (exception !== undefined && exception.instead === undefined) continue;
    const at = `${page}:${step.line}: $ ${step.command}`;
    try {
      await followStep(shell, { ...step, command: exception?.instead ?? step.command });
    } catch (error) {
      const cause = error instanceof Error ? error.message : String(error);
      throw new Error(`${at}\n${cause}`, { cause: error });
    }
  }
}

async function followStep(shell: PageShell, step: Step): Promise<void> {
  const shown = step.shown.flatMap((part) => (part.kind === "output" ? [part.text] : []));
  if (shown.length < step.shown.length) return checkEnd(shown, await onTerminal(shell, step));
  const isRight = (output: string): boolean =>
    shown.length === 0 || isAsShown(shown, printedLines(output, shell.home));
  if (step.command.endsWith(" &"))
    return checkEnd(shown, await shell.runBeside(step.command.slice(0, -2), isRight));
  let answer = await shell.run(step.command);
  // A list may still have what is just about to end.
  for (
    let looks = 0;
    looks < 50 && step.command.endsWith(" ls") && !isRight(answer.output);
    looks++
  ) {
    await Bun.sleep(100);
    answer = await shell.run(step.command);
  }
  checkEnd(shown, answer);
  if (!isRight(answer.output)) expect(printedLines(answer.output, shell.home)).toEqual(shown);
}

/** Errors that are shown are wanted, no others. */
function checkEnd(shown: readonly string[], { exitCode, output }: Answer): void {
  const isError = shown.some((line) => line.startsWith("error: "));
  if (isError === (exitCode === 0)) throw new Error(`exit status ${exitCode}:\n${output}`);
}

/** Everything that is shown must come in its order; a terminal shows more than that. */
async function onTerminal(shell: PageShell, step: Step): Promise<Answer> {
  shell.startOnTerminal(step.command);
  const wanted: string[] = [];
  for (const part of step.shown) {
    if (part.kind === "output") wanted.push(part.text);
    else {
      const before = [...wanted];
      const isReady = (output: string): boolean =>
        hasInOrder(before, printedLines(output, shell.home)) &&
        /[#$] $/.test(Bun.stripANSI(output));
      await shell.typeWhen(isReady, `${part.text}\r`);
    }
  }
  const answer = await shell.answer();
  const printed = printedLines(answer.output, shell.home);
  if (!hasInOrder(wanted, printed)) expect(printed).toEqual(wanted);
  return answer;
}

function hasInOrder(wanted: readonly string[], printed: readonly string[]): boolean {
  let at = 0;
  for (const line of printed)
    if (wanted[at] !== undefined && isLineAsShown(wanted[at] ?? "", line)) at += 1;
  return at === wanted.length;
}
