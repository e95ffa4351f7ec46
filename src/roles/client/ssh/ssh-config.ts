import { defineCommand } from "../../../cli/command.ts";
import type { Context } from "../../../cli/context.ts";
import { Failure } from "../../../cli/failure.ts";
import { programOnDisk } from "../../../system/self.ts";
import { confirmed, confirmFlags, untilAborted } from "../vault/prompting.ts";
import { managedSshConfig, type SshFile, userSshConfig, writeSshFile } from "./ssh-config-files.ts";
import {
  changedLines,
  includeLine,
  inlineBlock,
  managedText,
  withoutOurs,
} from "./ssh-config-text.ts";
import { knownHostsFolder } from "./ssh-known-host.ts";
import { isVaultName, readOverview } from "../vault/vault-config.ts";

const inlineFlag = {
  summary: "without Include: for programs that read nothing but ~/.ssh/config",
} as const;

export const sshConfigInstall = defineCommand({
  name: "ssh-config install",
  summary: "Make ssh know your vaults as NAME.vault",
  flags: { inline: inlineFlag, ...confirmFlags },
  description:
    "Shows first what it would change: one Include line at the top of ~/.ssh/config, and a file of its own beside your vaults. The rest of ~/.ssh/config stays as it is, byte for byte. Run it again to bring in new vaults by name; *.vault finds them without.",
  examples: ["fly-vault ssh-config install", "ssh my-dev.vault"],
  seeAlso: ["fly-vault ssh-config show", "fly-vault ssh-config uninstall"],
  run: async ({ flags, global }, context) =>
    untilAborted(context, async () => {
      const { user, managed, text, include } = filesOf(context);
      const isMade = user.text === undefined || wasMade(user, managed);
      const own = isMade ? `${madeUser}\n${text}` : text;
      const bare = withoutOurs(user.text ?? "", include);
      const entry = flags.inline ? inlineBlock(own) : include;
      const changes: Change[] = [
        { file: managed, text: flags.inline ? undefined : own },
        { file: user, text: entry + bare },
      ];
      return carryOut(
        changes,
        { flags, quiet: global.quiet, what: "change ~/.ssh/config" },
        context,
      );
    }),
});

export const sshConfigUninstall = defineCommand({
  name: "ssh-config uninstall",
  summary: "Take out of ssh's configuration what install put there",
  flags: confirmFlags,
  examples: ["fly-vault ssh-config uninstall"],
  run: async ({ flags, global }, context) =>
    untilAborted(context, async () => {
      const { user, managed, include } = filesOf(context);
      const bare = withoutOurs(user.text ?? "", include);
      const goes = user.text === undefined || (bare === "" && wasMade(user, managed));
      const changes: Change[] = [
        { file: user, text: goes ? undefined : bare },
        { file: managed, text: undefined },
      ];
      return carryOut(
        changes,
        { flags, quiet: global.quiet, what: "change ~/.ssh/config" },
        context,
      );
    }),
});

export const sshConfigShow = defineCommand({
  name: "ssh-config show",
  summary: "Print what ssh-config install would write",
  flags: { inline: inlineFlag },
  examples: ["fly-vault ssh-config show"],
  run: async ({ flags }, context) => {
    const { text } = filesOf(context);
    const shown = flags.inline ? inlineBlock(text) : text;
    await context.stdout.write(Buffer.from(shown, "latin1"));
    return 0;
  },
});

/** Stands in what we write where there was no ~/.ssh/config before: it may go again. */
const madeUser = "# ~/.ssh/config was made together with this.";

function wasMade(...files: readonly SshFile[]): boolean {
  return files.some(({ text }) => text?.includes(madeUser) === true);
}

interface Change {
  readonly file: SshFile;
  readonly text: string | undefined;
}

function filesOf(context: Context) {
  const managed = managedSshConfig(context);
  const plan = {
    program: programOnDisk,
    knownHosts: knownHostsFolder(context.env),
    vaults: vaultNames(context),
  };
  return {
    user: userSshConfig(context),
    managed,
    text: asLatin1(managedText(plan)),
    include: asLatin1(includeLine(managed.path)),
  };
}

function vaultNames({ env }: Context): readonly string[] {
  try {
    return readOverview(env).names.filter(isVaultName);
  } catch (error) {
    // Vaults may be added later: *.vault is there already.
    if (error instanceof Failure && error.code === "FV-CFG-001") return [];
    throw error;
  }
}

async function carryOut(
  changes: readonly Change[],
  said: {
    readonly flags: { readonly yes: boolean };
    readonly quiet: boolean;
    readonly what: string;
  },
  context: Context,
): Promise<number> {
  const real = changes.filter(({ file, text }) => file.text !== text);
  if (real.length === 0) {
    if (!said.quiet) await context.stderr.write("nothing to change\n");
    return 0;
  }
  for (const { file, text } of real) {
    const lines = changedLines(file.text ?? "", text ?? "");
    await context.stderr.write(Buffer.from(`${asLatin1(file.path)}\n${lines}`, "latin1"));
  }
  if (!(await confirmed("change these files?", said, context))) return 1;
  for (const { file, text } of real) await writeSshFile(file, text);
  return 0;
}

function asLatin1(text: string): string {
  return Buffer.from(text).toString("latin1");
}
