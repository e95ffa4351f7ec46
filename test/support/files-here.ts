import { fileURLToPath } from "node:url";
import type { ByteStream } from "../../src/protocol/byte-stream.ts";
import { childEnv } from "../../src/system/child-env.ts";

/** Init's own process for files, with our files instead of a guest's. */
export async function serveFilesHere(stream: ByteStream, home: string): Promise<void> {
  const script = fileURLToPath(new URL("files-here.child.ts", import.meta.url));
  const child = Bun.spawn([process.execPath, script, home], {
    env: childEnv({ PATH: process.env["PATH"] }),
    stdio: ["pipe", "pipe", "inherit"],
  });
  const feeding = feed(stream, child.stdin).catch(() => undefined);
  try {
    for await (const bytes of child.stdout) await stream.write(bytes);
    await stream.end();
  } finally {
    child.kill("SIGKILL");
    await child.exited;
  }
  await feeding;
}

async function feed(stream: ByteStream, stdin: Bun.FileSink): Promise<void> {
  try {
    for (let bytes = await stream.read(); bytes !== null; bytes = await stream.read()) {
      await stdin.write(bytes);
      await stdin.flush();
    }
  } finally {
    await stdin.end();
  }
}
