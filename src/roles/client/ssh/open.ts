import { defineCommand } from "../../../cli/command.ts";
import type { Context } from "../../../cli/context.ts";
import { Failure } from "../../../cli/failure.ts";
import { UsageError } from "../../../cli/usage-error.ts";
import { childEnv } from "../../../system/child-env.ts";
import { managedSshConfig, userSshConfig } from "./ssh-config-files.ts";
import { includeLine, isInstalled } from "./ssh-config-text.ts";
import { type LinkFlagValues, readVault } from "../link/vault-link.ts";

/** What each editor calls a folder on a host of ssh's. */
const remotes: Readonly<Record<string, (host: string, folder: string) => readonly string[]>> = {
  code: vscode,
  "code-insiders": vscode,
  codium: vscode,
  cursor: vscode,
  windsurf: vscode,
  zed: (host, folder) => [`ssh://root@${host}${folder}`],
};

export const open = defineCommand({
  name: "open",
  summary: "Open a folder of a vault in an editor of this computer",
  positionals: {
    editor: { name: "EDITOR" },
    vault: { name: "VAULT" },
    folder: { name: "DIR", optional: true },
  },
  flags: { print: { summary: "print the command instead of running it" } },
  description: `EDITOR is one of ${Object.keys(remotes).join(", ")}; DIR is absolute, /root without one. The editor comes over ssh, so ssh-config install is needed once.`,
  examples: ["fly-vault open code my-dev /work", "fly-vault open zed my-dev"],
  seeAlso: ["fly-vault ssh-config install"],
  run: async ({ flags, positionals, global }, context) => {
    const { editor, vault: said, folder = "/root" } = positionals;
    const remote = Object.hasOwn(remotes, editor) ? remotes[editor] : undefined;
    if (remote === undefined)
      throw new UsageError(`EDITOR must be one of ${Object.keys(remotes).join(", ")}`);
    if (!folder.startsWith("/")) throw new UsageError(`DIR must be absolute, not "${folder}"`);
    const vault = await readVault(said, { flags: noLinkFlags, global }, context);
    const argv = [editor, ...remote(`${vault.config.name}.vault`, folder)];
    if (flags.print) {
      await context.stdout.write(`${argv.map(quoted).join(" ")}\n`);
      return 0;
    }
    checkInstalled(context);
    return start(argv, context);
  },
});

/** Nothing is sent from here. */
const noLinkFlags: LinkFlagValues = {
  "token-file": undefined,
  reconnect: undefined,
  transport: undefined,
  link: undefined,
  timing: false,
};

function vscode(host: string, folder: string): readonly string[] {
  return ["--remote", `ssh-remote+${host}`, folder];
}

function checkInstalled(context: Context): void {
  const { text = "" } = userSshConfig(context);
  const include = Buffer.from(includeLine(managedSshConfig(context).path)).toString("latin1");
  if (isInstalled(text, include)) return;
  throw new Failure("FV-CFG-014", "ssh on this computer does not know your vaults yet", {
    fix: "fly-vault ssh-config install",
  });
}

async function start(
  [editor = "", ...words]: readonly string[],
  context: Context,
): Promise<number> {
  const path = Bun.which(editor, { PATH: context.env["PATH"] ?? "" });
  if (path === null)
    throw new Failure("FV-SYS-003", `there is no program "${editor}" on this computer`, {
      because: "it is not in PATH",
      fix: "in VS Code and its kin: the command \"Install 'code' command in PATH\"",
    });
  const child = Bun.spawn([path, ...words], {
    env: childEnv(context.env),
    stdio: ["ignore", "inherit", "inherit"],
  });
  return child.exited;
}

function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
