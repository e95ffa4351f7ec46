import { defineCommand } from "../../../cli/command.ts";
import { jsonDocument } from "../../../cli/json-document.ts";
import { version } from "../../../cli/program.ts";
import { untilStopped } from "../build/until-stopped.ts";

export const versionCommand = defineCommand({
  name: "version",
  summary: "Show the version, and with --check whether there is a newer one",
  flags: {
    check: { summary: "ask where releases are published" },
    json: { summary: "print JSON" },
  },
  description:
    "Nothing is asked unless --check is said: this program never looks for updates by itself. What is asked says nothing about this computer but its address and the wish. FLY_VAULT_RELEASES names another place.",
  examples: ["fly-vault version", "fly-vault version --check --json"],
  exitStatus:
    "0 whether or not there is a newer one; 3 nothing is released; 5 not signed; 6 no answer",
  seeAlso: ["fly-vault self-update"],
  run: async ({ flags, global }, context) => {
    const { releaseSource } = await import("./release-source.ts");
    const { platformName } = await import("./release-sums.ts");
    const platform = platformName(process.platform, process.arch);
    if (!flags.check) {
      const nothing = { newest: null, is_newest: null, has_build_for_platform: null };
      const data = { version, platform, ...nothing, signature: null };
      await context.stdout.write(
        flags.json ? jsonDocument("version", data) : `fly-vault ${version}\n`,
      );
      return 0;
    }
    const source = releaseSource(context.env);
    return untilStopped(context, async (signal) => {
      const { findRelease } = await import("./release.ts");
      const release = await findRelease(source, undefined, signal);
      const isNewest = Bun.semver.order(version, release.version) >= 0;
      const hasBuild = release.archives.some((archive) => archive.platform === platform);
      if (flags.json) {
        const found = { newest: release.version, is_newest: isNewest };
        const signature = release.isSigned ? "checked" : "no-key";
        const data = { version, platform, ...found, has_build_for_platform: hasBuild, signature };
        await context.stdout.write(jsonDocument("version", data));
        return 0;
      }
      const words = isNewest
        ? `the newest release is ${release.version}`
        : hasBuild
          ? `${release.version} is there (fly-vault self-update)`
          : `${release.version} is there, but not for ${platform}`;
      await context.stdout.write(`fly-vault ${version}; ${words}\n`);
      if (!release.isSigned && !global.quiet)
        await context.stderr.write("the release's signature was not checked: no key is known\n");
      return 0;
    });
  },
});
