import { counted } from "../../../cli/counted.ts";
import { defineCommand } from "../../../cli/command.ts";
import { jsonDocument } from "../../../cli/json-document.ts";
import { version } from "../../../cli/program.ts";
import { UsageError } from "../../../cli/usage-error.ts";
import { untilStopped } from "../build/until-stopped.ts";

export const selfUpdateCommand = defineCommand({
  name: "self-update",
  summary: "Replace this program by the newest release, or by another one",
  positionals: {
    version: {
      name: "VERSION",
      optional: true,
      summary: "that one, which may be older (default: the newest)",
    },
  },
  flags: {
    json: { summary: "print JSON" },
  },
  description:
    "Checks the signature of the release with the key that is built in (or FLY_VAULT_RELEASE_KEY), the checksum of what it downloads, and that it runs here; then it takes the place of this program in one step, with its mode and owner. Symbolic links to it stay. Whatever goes wrong before, this program stays as it is. Commands that run go on with the version they have, and so does a background link until it is idle.",
  examples: ["fly-vault self-update", "fly-vault self-update 0.1.0"],
  exitStatus:
    "0 done, or there was nothing to do; 1 not possible here; 3 no such release; 5 not signed; 6 no answer; 7 it would be older",
  seeAlso: ["fly-vault version --check", "fly-vault link stop"],
  run: async ({ flags, positionals, global }, context) => {
    const { releaseSource } = await import("./release-source.ts");
    const { isVersion, platformName } = await import("./release-sums.ts");
    if (positionals.version !== undefined && !isVersion(positionals.version))
      throw new UsageError(`VERSION must be one like ${version}, not "${positionals.version}"`);
    const source = releaseSource(context.env);
    const { ownPlace } = await import("./program-place.ts");
    const path = await ownPlace();
    const { updateProgram } = await import("./update-run.ts");
    const platform = platformName(process.platform, process.arch);
    const wish = { path, from: version, platform, to: positionals.version, source };
    return untilStopped(context, async (signal) => {
      const quiet = global.quiet || flags.json;
      const done = await updateProgram({ ...wish, quiet, signal }, context);
      const { to, changed, oldLinks } = done;
      if (flags.json) {
        const data = { from: version, to, changed, path, old_links: oldLinks };
        await context.stdout.write(jsonDocument("self-update", data));
        return 0;
      }
      if (global.quiet) return 0;
      await context.stderr.write(
        changed
          ? `"${path}" is ${to} now, it was ${version}\n`
          : `fly-vault ${to} is here already\n`,
      );
      if (oldLinks > 0)
        await context.stderr.write(
          `${counted(oldLinks, "background link")} of another version go on until idle, or:  fly-vault link stop\n`,
        );
      return 0;
    });
  },
});
