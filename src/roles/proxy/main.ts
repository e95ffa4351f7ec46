import type { Context } from "../../cli/context.ts";
import { runProgram } from "../../cli/program.ts";
import { jsonLog, type Log, type LogLevel } from "../../system/log.ts";
import { serveCommand } from "./broker/serve.ts";

/** The broker, or one of the two processes it starts from this same program: each loads what it needs. */
export async function main(argv: readonly string[], context: Context): Promise<number> {
  const [role, plan = ""] = argv;
  if (role === "relay") {
    const { runRelay } = await import("./relay/relay.ts");
    return runRelay(plan, context, logTo(context, "relay"));
  }
  if (role === "web") {
    const { runWeb } = await import("./web/web.ts");
    return runWeb(plan, context, logTo(context, "web"));
  }
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

function logTo(context: Context, process: string): (level: LogLevel) => Log {
  const write = (line: string): void => void context.stderr.write(line).catch(() => undefined);
  return (level) => jsonLog({ role: `proxy-${process}`, level, write, wallMs: context.wallMs });
}
