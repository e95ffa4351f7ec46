import { defineCommand } from "../../../cli/command.ts";
import type { Context } from "../../../cli/context.ts";
import { Failure } from "../../../cli/failure.ts";
import { canAsk } from "../../../cli/can-ask.ts";
import { addTable } from "../../../cli/toml-edit.ts";
import { stateDirectory } from "../../../cli/paths.ts";
import { UsageError } from "../../../cli/usage-error.ts";
import { systemKeychain } from "../../../system/keychain.ts";
import { CheckList } from "./check-list.ts";
import { editConfig } from "./config-edit.ts";
import { KnownMachines } from "./known-machines.ts";
import { untilAborted } from "./prompting.ts";
import {
  dropToken,
  storeToken,
  type TokenStore,
  tokenStoreFlag,
  tokenStoreOf,
} from "./token-store.ts";
import { readOverview } from "./vault-config.ts";
import { draftConfig, draftLines, draftProblem, type VaultDraft } from "./vault-draft.ts";
import { draftFlags, readDraft } from "./vault-words.ts";

export const add = defineCommand({
  name: "add",
  summary: "Set a vault up: asks for what it needs to know, and tries it",
  positionals: { name: { name: "NAME", optional: true } },
  flags: {
    ...draftFlags,
    ...tokenStoreFlag,
    check: { negatable: true, summary: "try the vault before it is saved (default: yes)" },
  },
  description:
    "Every answer has a flag; on a terminal what is missing is asked for. An invite (one line that starts with fly-vault://) answers everything at once. When a check fails, nothing is written. Comments and order of the configuration stay as they are.",
  examples: [
    "fly-vault add",
    "fly-vault add --from invite.txt",
    "fly-vault add my-dev --address my-dev.example:8443 --org my-org --app my-dev-vault --token-file -",
  ],
  exitStatus:
    "0 added; 2 an answer is missing or wrong; 4 token refused; 5 attestation failed; 6 no answer; 7 the name is taken",
  seeAlso: ["fly-vault help config", "fly-vault help trust"],
  run: async ({ flags, positionals, global }, context) =>
    untilAborted(context, async () => {
      const taken = takenNames(context);
      const draft = await readDraft(flags, positionals.name, context);
      refuseTaken(draft.name, taken);
      const checks = flags.check === false ? undefined : new CheckList(context, global.quiet);
      if (!canAsk(context)) refuseGaps(draft);
      else {
        const { interview } = await import("./vault-interview.ts");
        await interview(draft, { checks, isTaken: (name) => taken.includes(name) }, context);
      }
      const problem = draftProblem(draft);
      if (problem !== undefined) throw new UsageError(problem);
      // Of a vault that had this name and was taken out by hand.
      await new KnownMachines(stateDirectory(context.env)).forget(draft.name ?? "");
      if (checks !== undefined) await check(draft, checks, context);
      if (checks !== undefined && draft.machine_id === undefined && !global.quiet)
        await context.stderr.write("  it is remembered; another machine will be refused\n");
      const lines = await save(draft, tokenStoreOf(flags["token-store"]), context);
      if (!global.quiet) for (const line of lines) await context.stderr.write(`${line}\n`);
      return 0;
    }),
});

function takenNames({ env }: Context): readonly string[] {
  try {
    return readOverview(env).names;
  } catch (error) {
    if (error instanceof Failure && error.code === "FV-CFG-001") return [];
    throw error;
  }
}

function refuseTaken(name: string | undefined, taken: readonly string[]): void {
  if (name === undefined || !taken.includes(name)) return;
  throw new Failure("FV-CFG-009", `there is a vault "${name}" already`, {
    fix: `give another name:  fly-vault add NAME; or take that one out:  fly-vault vault rm ${name}`,
  });
}

/** Nobody is there to be asked. */
function refuseGaps(draft: VaultDraft): void {
  draft.name ??= draft.app;
  const needed = {
    "--address": draft.address,
    "--org": draft.org,
    "--app": draft.app,
    "--token-file": draft.access_token,
  };
  const missing = Object.entries(needed).flatMap(([flag, value]) =>
    value === undefined ? [flag] : [],
  );
  if (missing.length > 0)
    throw new UsageError(
      `no terminal to ask on: ${missing.join(", ")} ${missing.length === 1 ? "is" : "are"} missing (or --from INVITE)`,
    );
}

async function check(draft: VaultDraft, checks: CheckList, context: Context): Promise<void> {
  const { VaultProbe } = await import("./vault-probe.ts");
  const probe = new VaultProbe(draftConfig(draft, context.env), context);
  await checks.accepted(probe, draft.access_token ?? "");
}

async function save(draft: VaultDraft, store: TokenStore, context: Context): Promise<string[]> {
  const { env } = context;
  const vault = draft.name ?? "";
  const keychain = systemKeychain;
  const stored = await storeToken(draft.access_token ?? "", { vault, store, keychain }, env);
  try {
    const path = await editConfig(context, () => [
      addTable(["vault", vault], draftLines(draft, stored)),
    ]);
    return [
      `added "${vault}" to ${path}; its token is ${stored.place}`,
      `try:  fly-vault connect ${vault}`,
    ];
  } catch (error) {
    if (stored.key === "token")
      await dropToken({ ...draftConfig(draft, env), token: stored.parsed }, keychain, env);
    throw error;
  }
}
