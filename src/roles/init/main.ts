import { defineCommand, type Program } from "../../cli/command.ts";
import type { Context } from "../../cli/context.ts";
import { Failure } from "../../cli/failure.ts";
import { runProgram } from "../../cli/program.ts";
import { RemoteError } from "../../protocol/errors.ts";
import { jsonLog, type Log, type LogLevel } from "../../system/log.ts";
import { readOptions } from "./options.ts";
import { RecentLog } from "./recent-log.ts";
import { hideSecrets } from "./secrets.ts";
import { selfReports } from "./self-report.ts";

/** The keeper, or one of the processes it starts from this same program: each loads what it needs, no more. */
export async function main(argv: readonly string[], context: Context): Promise<number> {
  const [role, ...words] = argv;
  if (role === "workload") {
    const { bootWorkload } = await import("./workload-boot.ts");
    return bootWorkload(words[0] ?? "");
  }
  if (role === "unpack") {
    const unpack = await import("./provision/unpack.ts");
    return unpack.main(words, context);
  }
  if (role === "files") {
    const { serveFiles } = await import("./files/files-process.ts");
    return serveFiles(words[0] ?? "");
  }
  if (role === "sftp") {
    const { serveSftp } = await import("./sftp/sftp-process.ts");
    return serveSftp(words[0] ?? "");
  }
  if (role === "ssh") {
    const { runSsh } = await import("./ssh/ssh-process.ts");
    return runSsh(words[0] ?? "", context, childLog(context, "ssh"));
  }
  if (role === "link") {
    const { runLink } = await import("./link.ts");
    return runLink(words[0] ?? "", context, childLog(context, "link"));
  }
  return runProgram(keeperProgram(argv), argv, context);
}

function keeperProgram(argv: readonly string[]): Program {
  const keeper = defineCommand({
    name: "",
    summary: "serve this machine: its root filesystem, its sessions, its forwards",
    flags: {
      listen: {
        value: "ADDRESS",
        env: "VAULT_LISTEN",
        summary:
          "UDP host:port, or several with commas (default: port 8443 of fly-global-services and fly-local-6pn, else [::]:8443)",
      },
      "data-dir": { value: "PATH", env: "VAULT_DATA_DIR", summary: "the volume (default /data)" },
      "api-socket": {
        value: "PATH",
        env: "VAULT_API_SOCKET",
        summary: "the machine's API socket (default /.fly/api)",
      },
      "run-dir": {
        value: "PATH",
        env: "VAULT_RUN_DIR",
        summary: "private folder for sockets (default /run/fly-vault)",
      },
      "session-output": {
        value: "SIZE",
        env: "VAULT_SESSION_OUTPUT",
        summary: "output kept of each stream of a session, from 1M (default 4M)",
      },
      "session-output-total": {
        value: "SIZE",
        env: "VAULT_SESSION_OUTPUT_TOTAL",
        summary:
          "output kept of all sessions together (default 256M, or an eighth of a smaller memory)",
      },
      "idle-stop": {
        value: "DURATION",
        env: "VAULT_IDLE_STOP",
        summary: "switch the machine off when nobody did anything for so long (default: off)",
      },
    },
    seeAlso: ["init sessions", "init log"],
    run: async ({ flags }, context) => {
      const options = readOptions(flags, context.env);
      const recentLog = new RecentLog();
      const log = keeperLog(context, options.logLevel, recentLog);
      hideSecrets(argv, context.env, log);
      const { runKeeper } = await import("./keeper.ts");
      try {
        return await runKeeper(options, context, { log, recentLog });
      } catch (error) {
        if (!(error instanceof RemoteError)) throw error;
        log("error", "not-started", { because: error.message });
        throw new Failure("FV-VM-003", error.message, fixOf(error));
      }
    },
  });
  return {
    name: "init",
    summary: "the machine's side of fly-vault",
    commands: [keeper, ...selfReports],
  };
}

function fixOf(error: RemoteError): { readonly fix?: string } {
  return error.hint === undefined ? {} : { fix: error.hint };
}

function childLog(context: Context, role: "link" | "ssh"): (level: LogLevel) => Log {
  const write = toStderr(context);
  return (level) => jsonLog({ role, level, write, wallMs: context.wallMs });
}

function keeperLog(context: Context, level: LogLevel, recent: RecentLog): Log {
  const print = toStderr(context);
  const write = (line: string): void => {
    recent.add(line);
    print(line);
  };
  return jsonLog({ role: "keeper", level, write, wallMs: context.wallMs });
}

function toStderr(context: Context): (line: string) => void {
  return (line) => void context.stderr.write(line).catch(() => undefined);
}
