import { defineCommand, type GlobalOptions } from "../../../cli/command.ts";
import type { Context } from "../../../cli/context.ts";
import { printable } from "../../../cli/printable.ts";
import type { AttestedMachine } from "../../../fly/attestation.ts";
import { CheckList } from "./check-list.ts";
import { type KnownMachine, KnownMachineError } from "./known-machines.ts";
import { confirmFlags, confirmed, untilAborted } from "./prompting.ts";
import type { Vault } from "../link/vault-link.ts";
import { linkFlags, readVault, vaultPositional } from "../link/vault-link.ts";
import type { VaultProbe } from "./vault-probe.ts";
import { endLinksOf } from "../shared-link/link-list.ts";

export const trust = defineCommand({
  name: "trust",
  summary: "Remember the machine that answers now in place of the one before",
  positionals: { vault: vaultPositional },
  flags: { "token-file": linkFlags["token-file"], ...confirmFlags },
  description:
    "For a machine or image that was changed on purpose. Shows what was remembered and what answers now, both by Fly's word, and asks. The new one is remembered only after it has proven that it knows the token. What the configuration itself demands (org, app, machine_id, attest) stays in force.",
  examples: ["fly-vault trust my-dev"],
  exitStatus: "0 remembered; 1 not agreed to; 4 token refused; 5 attestation failed; 6 no answer",
  seeAlso: ["fly-vault verify", "fly-vault help trust"],
  run: async ({ flags, positionals, global }, context) => {
    const linkWords = { ...flags, reconnect: undefined, transport: undefined };
    return untilAborted(context, async () => {
      const vault = await readVault(positionals.vault, { flags: linkWords, global }, context);
      return trustAnew(vault, { flags, global }, context);
    });
  },
});

/** Also `verify --accept`. */
export async function trustAnew(
  vault: Vault,
  said: {
    readonly flags: { readonly yes: boolean };
    readonly global: GlobalOptions;
  },
  context: Context,
): Promise<number> {
  const { name } = vault.config;
  const { VaultProbe } = await import("./vault-probe.ts");
  const probe = new VaultProbe(vault.config, context);
  const known = await recordOf(probe, name);
  const token = await vault.accessToken();
  const now = await probe.attest();
  if (!said.global.quiet) await context.stderr.write(comparison(known, now));
  const question = `remember this machine for "${name}" from now on?`;
  const what = `remember another machine for "${name}"`;
  if (!(await confirmed(question, { flags: said.flags, what }, context))) return 1;
  const checks = new CheckList(context, said.global.quiet);
  await checks.accepted(probe, token, now);
  await endLinksOf(vault.config, context.env);
  if (!said.global.quiet)
    await context.stderr.write(
      `"${name}" is machine ${printable(now.machineId)} from now on; another one will be refused\n`,
    );
  return 0;
}

/** A damaged one is as good as none: a person is looking. */
async function recordOf(probe: VaultProbe, name: string): Promise<KnownMachine | undefined> {
  try {
    return await probe.knownMachines.read(name);
  } catch (error) {
    if (!(error instanceof KnownMachineError)) throw error;
    await probe.knownMachines.forget(name);
    return undefined;
  }
}

function comparison(known: KnownMachine | undefined, now: AttestedMachine): string {
  const before =
    known === undefined
      ? "nothing"
      : `machine ${known.machineId}, image ${known.imageDigest ?? "not noted"}, since ${new Date(known.firstSeenMs).toISOString()}`;
  const after = `machine ${now.machineId}, image ${now.imageDigest ?? "not told"}, app ${now.appName}, region ${now.region ?? "not told"}`;
  return `  remembered  ${printable(before)}\n  answers now ${printable(after)}\n`;
}
