import { defineCommand } from "../../../cli/command.ts";
import { jsonDocument } from "../../../cli/json-document.ts";
import { overVault } from "../link/over-vault.ts";
import { confirmFlags, untilAborted } from "./prompting.ts";
import { seenRecord } from "./seen-machine.ts";
import { trustAnew } from "./trust.ts";
import { linkFlags, readVault, vaultPositional } from "../link/vault-link.ts";
import { renderVerified, verified, verifiedJson } from "./verified.ts";

export const verify = defineCommand({
  name: "verify",
  summary: "Show who answers for a vault, proven just now",
  positionals: { vault: vaultPositional },
  flags: {
    json: { summary: "print it as JSON" },
    accept: { summary: "remember the machine that answers now, after asking; as trust does" },
    ...confirmFlags,
    ...linkFlags,
  },
  description:
    "Always makes a new connection and has Fly's evidence made for it. Each fact is called pinned (the configuration says it), allowed (it is on a list there), first use (remembered since then), or not pinned.",
  examples: ["fly-vault verify my-dev", "fly-vault verify my-dev --json | jq .data.image.digest"],
  exitStatus: "0 all of it holds; 4 token refused; 5 attestation or policy failed; 6 no answer",
  seeAlso: ["fly-vault trust", "fly-vault help trust"],
  run: async ({ flags, positionals, global }, context) => {
    const vault = await readVault(positionals.vault, { flags, global }, context);
    if (flags.accept) {
      const status = await untilAborted(context, async () =>
        trustAnew(vault, { flags, global }, context),
      );
      if (status !== 0) return status;
    }
    const before = await seenRecord(vault.config.name, context.env);
    const startedMs = context.wallMs();
    const wish = { flags, global, fresh: true } as const;
    return overVault(vault, wish, context, async ({ link, config }) => {
      const { machine, status } = link.login;
      const times = { startedMs, nowMs: context.wallMs() };
      const facts = verified({ config, machine, status, before, ...times });
      await context.stdout.write(
        flags.json
          ? jsonDocument("verify", verifiedJson(facts))
          : renderVerified(facts, context.env),
      );
      return 0;
    });
  },
});
