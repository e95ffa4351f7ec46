import type { Context } from "../../cli/context.ts";
import type { Program } from "../../cli/command.ts";
import { completionCommands } from "../../cli/completion-command.ts";
import { runProgram } from "../../cli/program.ts";
import { attach } from "./attach.ts";
import { build } from "./build/build.ts";
import { connect } from "./connect.ts";
import { bundleCommand } from "./diagnose/bundle.ts";
import { doctorCommand } from "./diagnose/doctor.ts";
import { netcheckCommand } from "./diagnose/netcheck.ts";
import { pingCommand } from "./diagnose/ping.ts";
import { speedtestCommand } from "./diagnose/speedtest.ts";
import { statusCommand } from "./diagnose/status.ts";
import { stopCommand } from "./diagnose/stop.ts";
import { wakeCommand } from "./diagnose/wake.ts";
import { cp } from "./cp.ts";
import { exec } from "./exec.ts";
import { explain } from "./explain.ts";
import { forward } from "./forward-command.ts";
import { forwardAdd, forwardLs, forwardRm } from "./forward-live.ts";
import { liveNames } from "./live-names.ts";
import { linkLs, linkStop } from "./link-command.ts";
import { linkServe } from "./link-serve.ts";
import { kill } from "./kill.ts";
import { listExec } from "./list-exec.ts";
import { logs } from "./logs.ts";
import { provisionCommand } from "./provision-command.ts";
import { open } from "./open.ts";
import { sshConfigInstall, sshConfigShow, sshConfigUninstall } from "./ssh-config.ts";
import { sshProxy } from "./ssh-proxy.ts";
import { add } from "./vault-add.ts";
import { configPathCommand, configShow } from "./config-show.ts";
import { tokenRm, tokenSet } from "./token-set.ts";
import { trust } from "./trust.ts";
import { vaultLs } from "./vault-ls.ts";
import { vaultRm } from "./vault-rm.ts";
import { vaultShow } from "./vault-show.ts";
import { vaultUse } from "./vault-use.ts";
import { verify } from "./verify.ts";
import { run } from "./run.ts";
import { sessionRename } from "./session-rename.ts";
import { sessions } from "./sessions.ts";
import { topics } from "./topics.ts";
import { wait } from "./wait.ts";

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
  topics,
};

export async function main(argv: readonly string[], context: Context): Promise<number> {
  return runProgram(program, argv, context);
}
