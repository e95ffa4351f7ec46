import { createHash } from "node:crypto";
import type { Context } from "../../../cli/context.ts";
import { Failure } from "../../../cli/failure.ts";
import { Progress } from "../../../cli/progress.ts";
import { formatSize } from "../../../cli/size.ts";
import { listLinks } from "../shared-link/link-list.ts";
import { downloadFile } from "./release-download.ts";
import { findRelease, type Release } from "./release.ts";
import { releaseFile, type ReleaseSource } from "./release-source.ts";
import { replaceProgram } from "./replace-program.ts";
import { unpackProgram } from "./unpacked-program.ts";
import { updateLimits } from "./update-limits.ts";

export interface UpdateWish {
  /** The program that is replaced: no symbolic link. */
  readonly path: string;
  readonly from: string;
  /** Undefined: the newest. */
  readonly to: string | undefined;
  readonly platform: string;
  readonly source: ReleaseSource;
  readonly quiet: boolean;
  readonly signal: AbortSignal;
}

export interface Update {
  readonly to: string;
  readonly changed: boolean;
  /** Background links that are not of that version. */
  readonly oldLinks: number;
}

/** Rejects with `Failure`; then nothing was changed. */
export async function updateProgram(wish: UpdateWish, context: Context): Promise<Update> {
  const { from, source, signal, path } = wish;
  if (source.keys.length === 0) throw noKey();
  const release = await findRelease(source, wish.to, signal);
  const { version } = release;
  if (version === from) return { to: version, changed: false, oldLinks: 0 };
  if (wish.to === undefined && Bun.semver.order(version, from) < 0)
    throw new Failure("FV-UPD-005", "the newest release is older than this program", {
      because: `it is ${version}, this is ${from}`,
      fix: `if you want it all the same:  fly-vault self-update ${version}`,
    });
  const { name, bytes } = await fetchArchive(release, wish, context);
  const member = `${name.slice(0, -".tar.gz".length)}/fly-vault`;
  const write = unpackProgram.bind(undefined, bytes, member);
  await replaceProgram({ path, version, write, signal }, context);
  const links = await listLinks(context.env).catch(() => []);
  const oldLinks = links.filter((link) => link.version !== version).length;
  return { to: version, changed: true, oldLinks };
}

async function fetchArchive(
  { archives, version }: Release,
  { platform, source, quiet, signal }: UpdateWish,
  context: Context,
): Promise<{ readonly name: string; readonly bytes: Uint8Array }> {
  const archive = archives.find((each) => each.platform === platform);
  if (archive === undefined)
    throw new Failure("FV-UPD-004", `release ${version} has nothing for ${platform}`, {
      because: `it is made for ${archives.map((each) => each.platform).join(", ")}`,
      fix: "build it from source:  make build",
    });
  const { name, sha256 } = archive;
  const url = releaseFile(source, version, name);
  const progress = new Progress(context, `fetching ${name}`, { quiet });
  try {
    const bytes = await downloadFile(url, {
      bytesMax: updateLimits.archiveBytesMax,
      timeoutMs: updateLimits.archiveMs,
      signal,
      onBytes: (received, total) =>
        progress.update(
          () => `${name}  ${formatSize(received)}${total ? ` of ${formatSize(total)}` : ""}`,
        ),
    });
    if (bytes === undefined)
      throw new Failure("FV-UPD-004", `release ${version} lacks a file that it lists`, {
        because: `${url} is not there`,
        fix: "try again later: it may just be published",
      });
    const found = createHash("sha256").update(bytes).digest("hex");
    if (found !== sha256)
      throw new Failure("FV-UPD-003", `"${name}" is not what the release says`, {
        because: `sha256 ${found}, not ${sha256}`,
        fix: "try again; if it stays so, tell whoever publishes the releases",
      });
    await progress.finish(`fetched ${name}, ${formatSize(bytes.length)}, sha256 as signed,`);
    return { name, bytes };
  } catch (error) {
    await progress.abandon();
    throw error;
  }
}

function noKey(): Failure {
  return new Failure("FV-UPD-002", "no key is known to check releases with", {
    because: "this program was built without one: a release has it built in",
    fix: 'set FLY_VAULT_RELEASE_KEY="ssh-ed25519 AAAA…" to the key of whoever publishes them',
  });
}
