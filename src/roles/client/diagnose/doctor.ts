import { runChecks } from "../../../cli/check.ts";
import { checkJson, renderCheck, resultJson } from "../../../cli/check-table.ts";
import { defineCommand } from "../../../cli/command.ts";
import { colouredMark } from "../../../cli/symbols.ts";
import { linkFlags, vaultPositional } from "../link/vault-link.ts";

export const doctorCommand = defineCommand({
  name: "doctor",
  summary: "Check everything between you and a vault, with what to do about each trouble",
  positionals: { vault: vaultPositional },
  flags: { json: { summary: "one line of JSON a check, and one for the result" }, ...linkFlags },
  description:
    "In the order in which one thing depends on another: program, configuration, token, network, attestation, login, and how the machine is. Changes nothing and needs no root.",
  examples: ["fly-vault doctor my-dev", "fly-vault doctor --json"],
  exitStatus: "0 nothing failed; 1 something did",
  seeAlso: ["fly-vault netcheck", "fly-vault bundle", "fly-vault explain"],
  run: async ({ flags, positionals, global }, context) => {
    // What it looks at is nearly all of the client; the other commands need not load it.
    const { doctorChecks } = await import("./doctor-checks.ts");
    const checks = await doctorChecks({ said: positionals.vault, flags, global }, context);
    const reports = await runChecks(checks, context.monotonicMs, async (report) =>
      context.stdout.write(
        flags.json
          ? checkJson(report)
          : renderCheck(report, (status) => colouredMark(status, "stdout", context)),
      ),
    );
    if (flags.json) await context.stdout.write(resultJson(reports, "doctor"));
    return reports.some(({ status }) => status === "failed") ? 1 : 0;
  },
});
