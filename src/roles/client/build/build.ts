import { defineCommand } from "../../../cli/command.ts";
import { engineNames } from "./container-engine.ts";
import { untilStopped } from "./until-stopped.ts";

export const build = defineCommand({
  name: "build",
  summary: "Make a rootfs archive from a Containerfile or a folder, the same bytes every time",
  positionals: {
    folder: {
      name: "DIR",
      optional: true,
      summary: "what COPY copies from (default: this folder)",
    },
  },
  flags: {
    file: {
      short: "f",
      value: "FILE",
      summary: "the Containerfile (default: that of DIR, or its Dockerfile)",
    },
    from: { value: "dir:PATH", summary: "no Containerfile: the folder that becomes /" },
    engine: {
      value: "NAME",
      choices: engineNames,
      summary: "what builds (default: the first that is there)",
    },
    output: {
      short: "o",
      value: "FILE",
      summary: "a .tar, .tar.gz or .tar.zst file to write (default rootfs.tar.zst)",
    },
  },
  description:
    "A Containerfile is built by buildah, podman or docker; the image's files become the archive, with owners, links and extended attributes. With --from a folder is packed as it is: owners are kept when run as root, else everything is root's; extended attributes are not kept. Sockets and devices are left out. Names are sorted, and nothing is younger than SOURCE_DATE_EPOCH, which for a Containerfile is the newest time in DIR unless it is set: what is built twice from the same files has the same bytes, if its own steps do.",
  examples: [
    "fly-vault build",
    "fly-vault build ./image -f ./image/Containerfile.dev -o dev.tar.zst",
    "fly-vault build --from dir:./rootfs --output rootfs.tar.zst",
  ],
  exitStatus: "0 written; 1 a step failed; 3 no Containerfile or folder; 125 no engine is there",
  seeAlso: ["fly-vault provision"],
  run: async ({ flags, positionals, global }, context) => {
    const { writeBuild } = await import("./build-run.ts");
    const { output = "rootfs.tar.zst" } = flags;
    const said = { ...flags, folder: positionals.folder, output, quiet: global.quiet };
    return untilStopped(context, async (signal) => {
      const sha256 = await writeBuild({ ...said, signal }, context);
      await context.stdout.write(`${sha256}  ${output}\n`);
      return 0;
    });
  },
});
