import { defineCommand } from "../../cli/command.ts";
import type { Context } from "../../cli/context.ts";
import { Failure } from "../../cli/failure.ts";
import { runProgram } from "../../cli/program.ts";
import { jsonLog } from "../../system/log.ts";

/** Says that it is not there yet, rather than looking as if it carried anything. */
const serve = defineCommand({
  name: "",
  summary: "Route datagrams of clients to their machines (not part of this build yet)",
  run: async () => {
    throw new Failure("FV-CLI-001", "vault-proxy is not part of this build yet", {
      fix: "give the vault the address of its machine: clients then connect without a proxy",
    });
  },
});

export async function main(argv: readonly string[], context: Context): Promise<number> {
  if (argv[0] === "relay") {
    const { runRelay } = await import("./relay.ts");
    const write = (line: string): void => void context.stderr.write(line).catch(() => undefined);
    return runRelay(argv[1] ?? "", context, (level) =>
      jsonLog({ role: "relay", level, write, wallMs: context.wallMs }),
    );
  }
  return runProgram(
    {
      name: "vault-proxy",
      summary: "Routes the datagrams of clients to machines, by machine id",
      commands: [serve],
    },
    argv,
    context,
  );
}
