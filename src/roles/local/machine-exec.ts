import { constants } from "node:os";
import { ApiError } from "./api-error.ts";
import { localLimits } from "./limits.ts";
import { family, identify, sendSignal } from "./process-table.ts";

/** A command that somebody runs in a machine through the API. */
export interface ExecRequest {
  readonly command: readonly string[];
  readonly stdin: string;
  readonly timeoutMs: number;
}

/** In the names of Fly's description. */
export interface ExecResult {
  readonly exit_code: number;
  readonly exit_signal: number;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Runs it beside the machine's own process, with what that finds in its environment, and without any
 * of ours. What is not over in time is killed with all that grew from it.
 */
export async function execute(
  { command, stdin, timeoutMs }: ExecRequest,
  place: { readonly env: Readonly<Record<string, string>>; readonly dir: string },
): Promise<ExecResult> {
  const child = spawn({
    cmd: [...command],
    env: { ...place.env },
    cwd: place.dir,
    stdio: [new TextEncoder().encode(stdin), "pipe", "pipe"],
    detached: true,
  });
  const identity = identify(child.pid);
  const kill = (): void => {
    if (identity !== undefined)
      for (const member of family(identity)) sendSignal(member, "SIGKILL");
  };
  const timer = setTimeout(kill, timeoutMs);
  try {
    const [stdout, stderr] = await Promise.all([
      readSome(child.stdout, kill),
      readSome(child.stderr, kill),
      child.exited,
    ]);
    const signal = child.signalCode === null ? 0 : signalNumber(String(child.signalCode));
    return { exit_code: child.exitCode ?? -1, exit_signal: signal, stdout, stderr };
  } finally {
    clearTimeout(timer);
  }
}

function spawn(options: Bun.Spawn.SpawnOptions<Uint8Array, "pipe", "pipe"> & { cmd: string[] }) {
  try {
    return Bun.spawn(options);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new ApiError(400, `invalid_argument: command could not be run: ${why}`);
  }
}

/** One that writes without end is ended. */
async function readSome(stream: ReadableStream<Uint8Array>, kill: () => void): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of stream) {
    if (length >= localLimits.execOutputBytesMax) continue;
    chunks.push(chunk);
    length += chunk.length;
    if (length >= localLimits.execOutputBytesMax) kill();
  }
  return Buffer.concat(chunks).subarray(0, localLimits.execOutputBytesMax).toString("utf8");
}

function signalNumber(name: string): number {
  return Object.entries(constants.signals).find(([known]) => known === name)?.[1] ?? 0;
}
