import { fileURLToPath } from "node:url";

const main = fileURLToPath(new URL("../../src/main.ts", import.meta.url));

export interface ClientResult {
  readonly code: number;
  readonly out: Uint8Array;
  readonly err: string;
}

export type ClientChild = Bun.Subprocess<"pipe", "pipe", "pipe">;

/** The client from source as a process of its own, with nothing but `env`. */
export function spawnClient(
  argv: readonly string[],
  env: Readonly<Record<string, string>>,
): ClientChild {
  return Bun.spawn([process.execPath, main, ...argv], {
    // A background link would outlive the test; those that are about one say so.
    env: { FLY_VAULT_NO_LINK: "1", ...env },
    cwd: "/",
    stdin: "pipe",
    stdout: "pipe",
    stderr: "pipe",
    timeout: 50_000,
    killSignal: "SIGKILL",
  });
}

export async function runClient(
  argv: readonly string[],
  env: Readonly<Record<string, string>>,
  stdin?: Uint8Array,
): Promise<ClientResult> {
  const child = spawnClient(argv, env);
  const feeding = feed(child, stdin ?? new Uint8Array(0));
  const [out, err, code] = await Promise.all([
    child.stdout.bytes(),
    child.stderr.text(),
    child.exited,
    feeding,
  ]);
  return { code, out, err };
}

/** So many zeros on its standard input, from another process: it is not silent when we have no time. */
export async function runClientOnZeros(
  count: number,
  argv: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<number> {
  const script = 'length=$1; shift; head -c "$length" /dev/zero | "$@"';
  const words = ["sh", "-c", script, "sh", String(count), process.execPath, main, ...argv];
  const child = Bun.spawn(words, {
    env: { FLY_VAULT_NO_LINK: "1", ...env },
    cwd: "/",
    stdio: ["ignore", "ignore", "inherit"],
    timeout: 50_000,
    killSignal: "SIGKILL",
  });
  return child.exited;
}

async function feed(child: ClientChild, bytes: Uint8Array): Promise<void> {
  try {
    for (let at = 0; at < bytes.length; at += 65_536) {
      await child.stdin.write(bytes.subarray(at, at + 65_536));
      await child.stdin.flush();
    }
    await child.stdin.end();
  } catch {
    // It ended without reading everything.
  }
}
