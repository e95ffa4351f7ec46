import type { Context } from "../../cli/context.ts";
import { runProgram } from "../../cli/program.ts";
import { serveCommand } from "./serve.ts";

/** The broker, or one of the two processes it starts from this same program. */
export async function main(argv: readonly string[], context: Context): Promise<number> {
  return runProgram(
    {
      name: "vault-proxy",
      summary: "routes the datagrams of clients to machines, by machine id",
      commands: [serveCommand(argv)],
    },
    argv,
    context,
  );
}
