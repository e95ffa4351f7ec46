import type { Context } from "../../../cli/context.ts";
import { Failure } from "../../../cli/failure.ts";
import { printable } from "../../../cli/printable.ts";
import { childEnv } from "../../../system/child-env.ts";

/** In the order of preference: the first two need no daemon, and can show an image as a folder. */
export const engineNames = ["buildah", "podman", "docker"] as const;
export type EngineName = (typeof engineNames)[number];

/** Rejects with `Failure` that says what to install. */
export function findEngine(said: string | undefined, { env }: Context): EngineName {
  const wanted = said === undefined ? engineNames : engineNames.filter((name) => name === said);
  const PATH = env["PATH"] ?? "";
  const found = wanted.find((name) => Bun.which(name, { PATH }) !== null);
  if (found !== undefined) return found;
  throw new Failure("FV-PROV-010", "nothing here can build a Containerfile", {
    because: `no ${wanted.join(", ")} in PATH`,
    fix: "apt install buildah, or make a folder and  fly-vault build --from dir:PATH",
  });
}

/** Runs the engine; its words go to our stderr. Rejects with `Failure` when it fails. */
export async function runEngine(
  argv: readonly string[],
  options: {
    readonly what: string;
    readonly quiet: boolean;
    readonly signal?: AbortSignal;
    /** How somebody tries it, without files of ours that are gone then. */
    readonly again?: readonly string[];
  },
  { env }: Context,
): Promise<string> {
  const child = Bun.spawn([...argv], {
    env: engineEnv(env),
    stdin: "ignore",
    stdout: "pipe",
    stderr: options.quiet ? "pipe" : "inherit",
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  });
  const words = child.stderr === undefined ? undefined : lastLine(child.stderr);
  const [text, code] = await Promise.all([child.stdout.text(), child.exited]);
  if (code === 0) return text;
  throw engineFailure(options.again ?? argv, options.what, { code, words: await words });
}

/** What somebody who wanted quiet must know after all, where it failed. */
async function lastLine(stream: ReadableStream<Uint8Array>): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const bytes of stream)
    text = (text + decoder.decode(bytes, { stream: true })).slice(-lastCharactersMax);
  return text.trimEnd().split("\n").at(-1) ?? "";
}

const lastCharactersMax = 2000;

/** What the engine writes to stdout, as it comes. Rejects with `Failure` when it fails in the end. */
export async function* engineOutput(
  argv: readonly string[],
  options: { readonly what: string; readonly signal: AbortSignal },
  { env }: Context,
): AsyncGenerator<Uint8Array> {
  const child = Bun.spawn([...argv], {
    env: engineEnv(env),
    stdin: "ignore",
    stdout: "pipe",
    stderr: "inherit",
    signal: options.signal,
  });
  try {
    yield* child.stdout;
    const code = await child.exited;
    if (code !== 0) throw engineFailure(argv, options.what, { code });
  } finally {
    // Where the reader stopped in the middle. What was told already cleans up by now.
    if (!options.signal.aborted) child.kill();
    await child.exited;
  }
}

/** Steps of a build are somebody's programs: none of our secrets is theirs. */
function engineEnv(env: Context["env"]): Record<string, string> {
  const ours = /^(?:FLY_VAULT_|FLY_API_TOKEN|ACCESS_TOKEN)/;
  return childEnv(Object.fromEntries(Object.entries(env).filter(([name]) => !ours.test(name))));
}

function engineFailure(
  argv: readonly string[],
  what: string,
  { code, words }: { readonly code: number; readonly words?: string | undefined },
): Failure {
  return new Failure("FV-PROV-011", `${what} failed`, {
    because: `${argv[0]} ended with ${code}${words === undefined ? "; its own words stand above" : `: ${printable(words)}`}`,
    fix: `try it by itself:  ${argv.slice(0, 6).join(" ")}`,
  });
}
