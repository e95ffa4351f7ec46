import type { Context } from "../../cli/context.ts";
import type { Program } from "../../cli/command.ts";
import { runProgram } from "../../cli/program.ts";
import { build } from "./build.ts";
import { connect } from "./connect.ts";
import { cp } from "./cp.ts";
import { exec } from "./exec.ts";
import { explain } from "./explain.ts";
import { listExec } from "./list-exec.ts";
import { provisionCommand } from "./provision-command.ts";
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
import { topics } from "./topics.ts";

/** Exported for the documentation's test. */
export const program: Program = {
  name: "fly-vault",
  summary: "A whole Linux machine on Fly.io, worked on as if it sat under the desk",
  commands: [
    // As `--help` lists them.
    connect,
    exec,
    listExec,
    provisionCommand,
    cp,
    build,
    sshConfigInstall,
    sshConfigUninstall,
    sshConfigShow,
    sshProxy,
    add,
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
  ],
  topics,
};

export async function main(argv: readonly string[], context: Context): Promise<number> {
  return runProgram(program, argv, context);
}
