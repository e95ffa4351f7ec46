import { defineCommand } from "../../cli/command.ts";
import { type FailureCode, failureCodes } from "../../cli/failure-codes.ts";
import { didYouMean } from "../../cli/nearest.ts";
import { renderTable } from "../../cli/table.ts";
import { UsageError } from "../../cli/usage-error.ts";

export const explain = defineCommand({
  name: "explain",
  summary: "Explain an error code, or list them all",
  positionals: { code: { name: "CODE", optional: true } },
  examples: ["fly-vault explain FV-NET-002"],
  run: async ({ positionals }, context) => {
    const { code } = positionals;
    if (code === undefined) {
      const rows = Object.entries(failureCodes).map(([name, { exitCode, title }]) => [
        name,
        String(exitCode),
        title,
      ]);
      await context.stdout.write(renderTable(["CODE", "EXIT", "MEANING"], rows));
      return 0;
    }
    const wanted = code.toUpperCase();
    if (!isCode(wanted)) {
      const hint = didYouMean(wanted, Object.keys(failureCodes));
      throw new UsageError(`there is no code "${code}"${hint}`);
    }
    const { title, exitCode } = failureCodes[wanted];
    const { explanations } = await import("../../cli/explanations.ts");
    const { meaning, remedy } = explanations[wanted];
    await context.stdout.write(
      `${wanted}: ${title} (exit ${exitCode})\n\n${meaning}\n\nWhat to do: ${remedy}\n`,
    );
    return 0;
  },
});

function isCode(text: string): text is FailureCode {
  return Object.hasOwn(failureCodes, text);
}
