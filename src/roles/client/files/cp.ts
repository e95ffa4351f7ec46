import { statSync } from "node:fs";
import { defineCommand } from "../../../cli/command.ts";
import type { Context } from "../../../cli/context.ts";
import { printable } from "../../../cli/printable.ts";
import { UsageError } from "../../../cli/usage-error.ts";
import { parseOperands, type CopyOperands } from "./cp-operands.ts";
import type { AttestedLink } from "../link/attested-link.ts";
import type { Leaving } from "../link/stop-before.ts";
import { clientLimits } from "../limits.ts";
import { askForEach, mustBeAbleToAsk, thereAlready } from "./cp-questions.ts";
import { copyFailure } from "./cp-failure.ts";
import { CopyReport } from "./cp-report.ts";
import type { CopyPlan } from "./cp-run.ts";
import { overVault } from "../link/over-vault.ts";
import { withSpooledInput } from "./spooled-input.ts";
import { StreamedSoFar } from "./stream-sink.ts";
import { linkFlags, readVault } from "../link/vault-link.ts";

export const cp = defineCommand({
  name: "cp",
  summary: "Copy files into a vault or out of one, resuming what was broken off",
  positionals: {
    paths: {
      name: "SRC… DST",
      repeatable: true,
      summary: "NAME:PATH is in a vault, - is standard input or output",
    },
  },
  flags: {
    recursive: { short: "r", summary: "folders and all that is in them; links stay links" },
    preserve: { short: "p", summary: "modes and times as they were" },
    "no-clobber": { short: "n", summary: "leave what is there already as it is" },
    interactive: { short: "i", summary: "ask before anything that is there is replaced" },
    exclude: {
      value: "GLOB",
      repeatable: true,
      summary: "not these; with a slash a path below SRC, else any name",
    },
    "dry-run": { summary: "only say what would be copied" },
    user: { short: "u", value: "USER", summary: "whose rights count in the vault (default root)" },
    json: { summary: "events as JSON lines, the last one the result" },
    ...linkFlags,
  },
  description:
    "One side is in a vault: NAME:PATH, from the home folder on unless PATH begins with a slash; NAME: alone is the home folder. As with cp, a destination that is a folder gets the sources into it under their names. A file takes its place only when it is whole and right. What was broken off goes on where it stopped, and of a file that is there in another version only what differs is sent. *, ? and […] in a source in the vault are matched there.",
  examples: [
    "fly-vault cp big.tar my-dev:/data/",
    "fly-vault cp -rp my-dev:work/logs ./",
    "fly-vault cp -r --exclude node_modules . my-dev:src/app",
    "pg_dump app | fly-vault cp - my-dev:/tmp/app.sql",
  ],
  exitStatus:
    "0 all copied, 1 nothing copied, 3 a source is not there, 7 it changed or another copy writes it, 8 some copied and some not",
  run: async ({ flags, positionals, global }, context) => {
    const operands = parseOperands(positionals.paths);
    if (flags.interactive && flags["no-clobber"])
      throw new UsageError("-i and -n exclude each other");
    if (operands.standard && flags.recursive) throw new UsageError('"-" is one file, not a folder');
    if (operands.standard && operands.direction === "download" && flags.json)
      throw new UsageError("--json and the file cannot both go to standard output");
    if (flags.interactive) mustBeAbleToAsk(context);
    const vault = await readVault(operands.vault, { flags, global }, context);
    const wishes = {
      recursive: flags.recursive,
      preserve: flags.preserve,
      keep: flags["no-clobber"],
      dryRun: flags["dry-run"],
      exclude: flags.exclude,
      user: flags.user,
    };
    // Both halves of a copy; nobody else needs them.
    const { runCopy } = await import("./cp-run.ts");
    const ask = async (
      link: AttestedLink,
      plan: CopyPlan,
      leaving: Leaving,
    ): Promise<ReadonlySet<string>> => {
      const there = thereAlready();
      const look = { ...plan, wishes: { ...wishes, keep: true, dryRun: true } };
      await runCopy(link, look, there, leaving);
      return askForEach(context, there.paths);
    };
    return withStandard({ operands, wishes }, context, async (plan) =>
      overVault(
        vault,
        { flags, global, isBulk: isBulk(plan) },
        context,
        async ({ link, leaving }) => {
          const report = new CopyReport(context, {
            title: titleOf(operands, vault.config.name),
            quiet: global.quiet,
            json: flags.json,
            dryRun: flags["dry-run"],
            resumes: !(operands.standard && operands.direction === "download"),
          });
          try {
            const declined = flags.interactive ? await ask(link, plan, leaving) : new Set<string>();
            await runCopy(link, { ...plan, declined }, report, leaving);
          } catch (error) {
            await report.abandon();
            throw error;
          }
          await report.finish();
          if (report.troubleCount > 0) throw copyFailure(report);
          return 0;
        },
      ),
    );
  },
});

/** Standard input goes through a file: only what can be read twice survives a lost link. */
async function withStandard(
  plan: CopyPlan,
  context: Context,
  work: (plan: CopyPlan) => Promise<number>,
): Promise<number> {
  const { standard, direction } = plan.operands;
  if (!standard) return work(plan);
  if (direction === "download") {
    const output = new StreamedSoFar(async (bytes) => context.stdout.write(bytes));
    return work({ ...plan, output });
  }
  return withSpooledInput(context, async (spool) => work({ ...plan, spool }));
}

/** What there is in folders, or in the vault, shows later. */
function isBulk({ operands, spool }: CopyPlan): boolean {
  if (operands.direction === "download") return false;
  const files = spool === undefined ? operands.sources : [spool];
  return files.reduce((sum, path) => sum + sizeOf(path), 0) >= clientLimits.bulkBytesMin;
}

/** What is wrong with a source is said when its turn comes. */
function sizeOf(path: string): number {
  try {
    return statSync(path).size;
  } catch {
    return 0;
  }
}

function titleOf({ direction, sources, destination }: CopyOperands, vault: string): string {
  const what = sources.length === 1 ? sources[0] : `${sources.length} sources`;
  const [from, to] =
    direction === "upload" ? [what, `${vault}:${destination}`] : [`${vault}:${what}`, destination];
  return printable(`copying ${from} to ${to}`);
}
