import { join } from "node:path";
import { counted } from "../../../cli/counted.ts";
import { defineCommand } from "../../../cli/command.ts";
import { Failure } from "../../../cli/failure.ts";
import { formatSize } from "../../../cli/size.ts";
import { createPrivateFile } from "../../../system/private-file.ts";
import { linkFlags, vaultPositional } from "../link/vault-link.ts";
import { Redactor } from "../../../cli/redactor.ts";

export const bundleCommand = defineCommand({
  name: "bundle",
  summary: "Pack what is needed to find out what is wrong, without secrets",
  positionals: { vault: vaultPositional },
  flags: {
    output: { short: "o", value: "FILE", summary: "write it there (default: in this folder)" },
    ...linkFlags,
  },
  description:
    "Versions, the configuration with its secrets cut out, what doctor finds, the log file where one is kept. Every file is listed, and how many secrets were taken out, before anything is written. Nothing is sent anywhere.",
  examples: ["fly-vault bundle my-dev", "fly-vault bundle -o /tmp/trouble.tar.zst"],
  seeAlso: ["fly-vault doctor"],
  run: async ({ flags, positionals, global }, context) => {
    const wish = { said: positionals.vault, flags, global };
    const [{ collectBundle }, { packBundle }] = await Promise.all([
      import("./bundle-files.ts"),
      import("./bundle-archive.ts"),
    ]);
    const redactor = new Redactor();
    const files = await collectBundle(wish, redactor, context);
    const stamp = new Date(context.wallMs()).toISOString().replaceAll(/[-:]|\.\d+/g, "");
    const path =
      flags.output ?? join(context.cwd ?? process.cwd(), `fly-vault-bundle-${stamp}.tar.zst`);
    if (!global.quiet) {
      for (const { name, text } of files)
        await context.stderr.write(`  ${name}  ${formatSize(Buffer.byteLength(text))}\n`);
      await context.stderr.write(`${counted(redactor.count, "secret")} taken out\n`);
    }
    if (!(await createPrivateFile(path, await packBundle(files, context.wallMs()))))
      throw new Failure("FV-SYS-001", `"${path}" is there already`, {
        fix: "name another file:  --output FILE",
      });
    await context.stdout.write(`${path}\n`);
    return 0;
  },
});
