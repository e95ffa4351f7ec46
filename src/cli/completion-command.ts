import { type Command, defineCommand, type Program } from "./command.ts";
import { complete, type LiveNames } from "./completion.ts";
import { completionScript, shells } from "./completion-scripts.ts";
import type { Context } from "./context.ts";
import { printable } from "./printable.ts";
import { UsageError } from "./usage-error.ts";

/**
 * `completion SHELL`, and the hidden command that its script calls. `program` is asked late, because
 * these two are part of it.
 */
export function completionCommands(
  program: () => Program,
  live: (context: Context) => LiveNames,
): readonly Command[] {
  return [
    defineCommand({
      name: "completion",
      summary: "Print what makes a shell complete our words",
      positionals: { shell: { name: "SHELL", summary: shells.join(", ") } },
      description:
        "The first line of what is printed says where it belongs. Names of vaults and sessions are those of the moment.",
      run: async ({ positionals }, context) => {
        const shell = shells.find((each) => each === positionals.shell);
        if (shell === undefined)
          throw new UsageError(
            `SHELL must be one of ${shells.join(", ")}, not "${positionals.shell}"`,
          );
        await context.stdout.write(completionScript(shell, program().name));
        return 0;
      },
    }),
    defineCommand({
      name: "__complete",
      summary: "candidates for the last word",
      hidden: true,
      passthrough: { name: "WORD…", optional: true },
      run: async ({ rest }, context) => {
        const { candidates, files } = await complete(program(), rest, live(context)).catch(() => ({
          candidates: [],
          files: false,
        }));
        const lines = candidates.map(
          ({ word, summary = "" }) => `${printable(word)}\t${printable(summary)}\n`,
        );
        await context.stdout.write(`${lines.join("")}${files ? ":files" : ":none"}\n`);
        return 0;
      },
    }),
  ];
}
