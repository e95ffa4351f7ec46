import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { programEnv, programPath } from "./program.ts";

/** What is enough to see that nothing is lost; with FV_SOAK=1 as much as people move in a day. */
export const bulkMebibytes = process.env["FV_SOAK"] === undefined ? 96 : 1024;

export interface BulkResult {
  readonly exitCode: number;
  readonly sentBytes: number;
  readonly receivedBytes: number;
  readonly sent: string;
  readonly received: string;
  readonly stderr: string;
  /** The most memory the client ever had. */
  readonly peakResidentBytes: number;
}

/** Random bytes into a client's stdin and what its stdout gives, both as digests: neither is kept. */
export async function bulkPipe(
  argv: readonly string[],
  env: Readonly<Record<string, string>>,
  mebibytes: number,
): Promise<BulkResult> {
  const child = Bun.spawn([programPath("fly-vault"), ...argv], {
    cwd: "/",
    env: programEnv(env),
    stdin: "pipe",
    stdout: "pipe",
    stderr: "pipe",
  });
  const sent = createHash("sha256");
  const received = createHash("sha256");
  let receivedBytes = 0;
  let peakResidentBytes = 0;
  const feeding = (async (): Promise<void> => {
    for (let count = 0; count < mebibytes; count++) {
      const bytes = randomMebibyte(count);
      sent.update(bytes);
      await child.stdin.write(bytes);
      await child.stdin.flush();
      peakResidentBytes = peakOf(child.pid);
    }
    await child.stdin.end();
  })();
  for await (const bytes of child.stdout) {
    received.update(bytes);
    receivedBytes += bytes.length;
  }
  await feeding;
  const [exitCode, stderr] = await Promise.all([child.exited, child.stderr.text()]);
  return {
    exitCode,
    sentBytes: mebibytes * 1024 * 1024,
    receivedBytes,
    sent: sent.digest("hex"),
    received: received.digest("hex"),
    stderr,
    peakResidentBytes,
  };
}

/** What the kernel reports at its end would count our own memory too, from before the program was executed. */
function peakOf(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024;
}

const random = new Uint8Array(1024 * 1024);
for (let from = 0; from < random.length; from += 65_536)
  crypto.getRandomValues(random.subarray(from, from + 65_536));

/** No two alike, so that nothing that is out of place goes unseen. */
function randomMebibyte(count: number): Uint8Array {
  const bytes = random.slice();
  const words = new Uint32Array(bytes.buffer);
  for (let index = 0; index < words.length; index += 1024) words[index] = count * 1024 + index;
  return bytes;
}
