import type { Context } from "../../cli/context.ts";
import type { Program } from "../../cli/command.ts";
import { completionCommands } from "../../cli/completion-command.ts";
import { runProgram } from "../../cli/program.ts";
import { attach } from "./session/attach.ts";
import { build } from "./build/build.ts";
import { connect } from "./session/connect.ts";
import { bundleCommand } from "./diagnose/bundle.ts";
import { doctorCommand } from "./diagnose/doctor.ts";
import { netcheckCommand } from "./diagnose/netcheck.ts";
import { pingCommand } from "./diagnose/ping.ts";
import { speedtestCommand } from "./diagnose/speedtest.ts";
import { statusCommand } from "./diagnose/status.ts";
import { stopCommand } from "./diagnose/stop.ts";
import { wakeCommand } from "./diagnose/wake.ts";
import { cp } from "./files/cp.ts";
import { exec } from "./session/exec.ts";
import { explain } from "./explain.ts";
import { forward } from "./forward/forward-command.ts";
import { forwardAdd, forwardLs, forwardRm } from "./forward/forward-live.ts";
import { ports } from "./forward/ports-command.ts";
import { liveNames } from "./live-names.ts";
import { linkLs, linkStop } from "./shared-link/link-command.ts";
import { linkServe } from "./shared-link/link-serve.ts";
import { kill } from "./session/kill.ts";
import { listExec } from "./session/list-exec.ts";
import { logs } from "./session/logs.ts";
import { provisionCommand } from "./provision/provision-command.ts";
import { open } from "./ssh/open.ts";
import { sshConfigInstall, sshConfigShow, sshConfigUninstall } from "./ssh/ssh-config.ts";
import { sshProxy } from "./ssh/ssh-proxy.ts";
import { add } from "./vault/vault-add.ts";
import { configPathCommand, configShow } from "./vault/config-show.ts";
import { tokenRm, tokenSet } from "./vault/token-set.ts";
import { trust } from "./vault/trust.ts";
import { vaultLs } from "./vault/vault-ls.ts";
import { vaultRm } from "./vault/vault-rm.ts";
import { vaultShow } from "./vault/vault-show.ts";
import { vaultUse } from "./vault/vault-use.ts";
import { verify } from "./vault/verify.ts";
import { run } from "./session/run.ts";
import { sessionRename } from "./session/session-rename.ts";
import { sessions } from "./session/sessions.ts";
import { topics } from "./topics.ts";
import { wait } from "./session/wait.ts";

/** Exported for the documentation's test. */
export const program: Program = {
  name: "fly-vault",
  summary: "A whole Linux machine on Fly.io, worked on as if it sat under the desk",
  commands: [
    // As `--help` lists them.
    connect,
    exec,
    run,
    sessions,
    logs,
    attach,
    wait,
    kill,
    sessionRename,
    listExec,
    provisionCommand,
    cp,
    forward,
    forwardLs,
    forwardAdd,
    forwardRm,
    ports,
    build,
    open,
    sshConfigInstall,
    sshConfigUninstall,
    sshConfigShow,
    sshProxy,
    add,
    // As the other words about vaults go.
    { ...add, name: "vault add", hidden: true },
    verify,
    trust,
    vaultLs,
    vaultShow,
    vaultUse,
    vaultRm,
    tokenSet,
    tokenRm,
    configShow,
    configPathCommand,
    explain,
    statusCommand,
    wakeCommand,
    stopCommand,
    pingCommand,
    speedtestCommand,
    netcheckCommand,
    doctorCommand,
    bundleCommand,
    ...completionCommands(() => program, liveNames),
    linkLs,
    linkStop,
    linkServe,
  ],
  headings: {
    "WORK IN A VAULT": ["connect", "exec", "cp", "forward", "ports", "open"],
    SESSIONS: ["run", "sessions", "logs", "attach", "wait", "kill", "session", "list-exec"],
    VAULTS: ["add", "vault", "token", "config", "verify", "trust"],
    "ROOT FILESYSTEM": ["provision", "build"],
    SSH: ["ssh-config", "ssh-proxy"],
    "FIND OUT": [
      "status",
      "doctor",
      "netcheck",
      "ping",
      "speedtest",
      "bundle",
      "explain",
      "wake",
      "stop",
      "link",
    ],
    "THIS PROGRAM": ["completion"],
  },
  topics,
  jsonOutputs: async () => (await import("./json-outputs.ts")).jsonOutputs,
};

export async function main(argv: readonly string[], context: Context): Promise<number> {
  return runProgram(program, argv, context);
}
