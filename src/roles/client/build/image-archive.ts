import { mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { isAbsolute, join, resolve } from "node:path";
import type { Context } from "../../../cli/context.ts";
import { Failure } from "../../../cli/failure.ts";
import { type EngineName, engineOutput, findEngine, runEngine } from "./container-engine.ts";
import { clampTimes } from "./tar-times.ts";

export interface ImageJob {
  /** What COPY copies from. */
  readonly folder: string;
  readonly recipe: string;
  readonly engine: string | undefined;
  /** Not among what the image is made from, though they may lie there. */
  readonly leaveOut: readonly string[];
  /** SOURCE_DATE_EPOCH. */
  readonly newestMs: number | undefined;
  readonly quiet: boolean;
  /** The user wants no more of it; containers are removed all the same. */
  readonly signal: AbortSignal;
}

/** The Containerfile: named, else that of the folder. Rejects with `Failure`. */
export async function findRecipe(folder: string, said: string | undefined): Promise<string> {
  const candidates =
    said === undefined
      ? ["Containerfile", "Dockerfile"].map((name) => join(folder, name))
      : [resolve(said)];
  for (const path of candidates) {
    const found = await stat(path).catch(() => undefined);
    if (found?.isFile() === true) return path;
  }
  throw new Failure("FV-PROV-001", `there is no Containerfile in "${folder}"`, {
    because: `looked for ${candidates.join(", ")}`,
    fix: "name it (--file), or pack a folder:  fly-vault build --from dir:PATH",
  });
}

/** Builds the image, then gives its files as a tar stream. Rejects with `Failure`. */
export async function imageArchive(
  job: ImageJob,
  context: Context,
): Promise<AsyncIterable<Uint8Array>> {
  const engine = findEngine(job.engine, context);
  const image = await buildImage(engine, job, context);
  const newestMs = job.newestMs ?? (await newestIn(job));
  const { signal } = job;
  return engine === "docker"
    ? clampTimes(exported(image, signal, context), newestMs)
    : mounted(engine, image, { newestMs, signal }, context);
}

async function buildImage(engine: EngineName, job: ImageJob, context: Context): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "fly-vault-build-"));
  try {
    const idFile = join(folder, "id");
    const argv = [engine, "build", "--file", job.recipe, "--iidfile", idFile, job.folder];
    const { quiet, signal } = job;
    const again = [engine, "build", "--file", job.recipe, job.folder];
    await runEngine(argv, { what: "building the image", quiet, signal, again }, context);
    return (await readFile(idFile, "utf8")).trim();
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/**
 * By GNU tar over the mounted image: sorted, and with the extended attributes that file capabilities
 * are. Without root both engines can do this only inside a user namespace of theirs.
 */
async function* mounted(
  engine: "buildah" | "podman",
  image: string,
  { newestMs, signal }: { readonly newestMs: number; readonly signal: AbortSignal },
  context: Context,
): AsyncGenerator<Uint8Array> {
  const shell = [
    "sh",
    "-c",
    mountScripts[engine],
    "sh",
    image,
    String(Math.floor(newestMs / 1000)),
  ];
  const argv = process.getuid?.() === 0 ? shell : [engine, "unshare", ...shell];
  yield* engineOutput(argv, { what: "reading the image", signal }, context);
}

const tarCommand =
  'tar -C "$dir" --sort=name --numeric-owner --format=posix --pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime --xattrs --xattrs-include="*" --xattrs-exclude="user.overlay.*" --xattrs-exclude="trusted.*" --mtime="@$2" --clamp-mtime -c .';

/** A shell that dies of a signal runs nothing at its exit, nor does one that gets a second one at it. */
const onSignal = `trap 'trap "" TERM INT HUP; exit 143' TERM INT HUP`;

const mountScripts = {
  buildah: `set -e; c=; trap '[ -z "$c" ] || buildah rm "$c" >/dev/null' EXIT; ${onSignal}; c=$(buildah from --pull-never "$1"); dir=$(buildah mount "$c"); ${tarCommand}`,
  podman: `set -e; dir=; trap '[ -z "$dir" ] || podman image unmount "$1" >/dev/null' EXIT; ${onSignal}; dir=$(podman image mount "$1"); ${tarCommand}`,
} as const;

/** Docker shows no folder: a container that never runs is exported. */
async function* exported(
  image: string,
  signal: AbortSignal,
  context: Context,
): AsyncGenerator<Uint8Array> {
  const what = "reading the image";
  const argv = ["docker", "create", "--network", "none", image, "/never-run"];
  const container = (await runEngine(argv, { what, quiet: true }, context)).trim();
  try {
    yield* engineOutput(["docker", "export", container], { what, signal }, context);
  } finally {
    await runEngine(["docker", "rm", container], { what, quiet: true }, context);
  }
}

/** Of all that the image is made from. */
async function newestIn({ folder, recipe, leaveOut }: ImageJob): Promise<number> {
  const names = await readdir(folder, { recursive: true });
  let newestMs = (await stat(recipe)).mtimeMs;
  for (const name of names) {
    const path = isAbsolute(name) ? name : join(folder, name);
    if (leaveOut.includes(path)) continue;
    const found = await stat(path).catch(() => undefined);
    if (found?.isFile() === true) newestMs = Math.max(newestMs, found.mtimeMs);
  }
  return newestMs;
}
