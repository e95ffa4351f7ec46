import type { Context } from "../../cli/context.ts";
import { runProgram } from "../../cli/program.ts";
import { serveCommand } from "./serve.ts";

export async function main(argv: readonly string[], context: Context): Promise<number> {
  return runProgram(
    {
      name: "fly-local",
      summary: "A small Fly on this computer: Machines API, evidence, and machines that really run",
      commands: [serveCommand],
    },
    argv,
    context,
  );
}
