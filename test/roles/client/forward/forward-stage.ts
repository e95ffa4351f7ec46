import { once } from "node:events";
import { createServer } from "node:net";
import type { ByteStream } from "../../../../src/protocol/byte-stream.ts";
import { main } from "../../../../src/roles/client/main.ts";
import { connectTcp, type SocketTarget, connectUnix } from "../../../../src/system/tcp-stream.ts";
import { memoryContext, type MemoryContext } from "../../../support/memory-context.ts";
import { jsonOutputs } from "../../../../src/roles/client/json-outputs.ts";
import { checkPrintedJson } from "../../../support/printed-json.ts";

/** Answers only after the question has ended, with its length and digest: proof of half-close. */
export class DigestServer {
  readonly #server = createServer({ allowHalfOpen: true }, (socket) => {
    const hash = new Bun.CryptoHasher("sha256");
    let length = 0;
    socket.on("data", (bytes) => {
      hash.update(bytes);
      length += bytes.length;
    });
    socket.on("end", () => socket.end(`${length} ${hash.digest("hex")}`));
    socket.on("error", () => undefined);
  });
  port = 0;

  static async listen(at: { host: string } | { path: string }): Promise<DigestServer> {
    const server = new DigestServer();
    if ("path" in at) server.#server.listen(at.path);
    else server.#server.listen(0, at.host);
    await once(server.#server, "listening");
    const address = server.#server.address();
    server.port = typeof address === "object" && address !== null ? address.port : 0;
    return server;
  }

  close(): void {
    this.#server.close();
  }
}

export function answerTo(question: Uint8Array): string {
  const hash = new Bun.CryptoHasher("sha256").update(question).digest("hex");
  return `${question.length} ${hash}`;
}

export async function ask(to: SocketTarget | number, question: Uint8Array): Promise<string> {
  const target = typeof to === "number" ? { host: "127.0.0.1", port: to } : to;
  const stream = await ("path" in target ? connectUnix(target.path) : connectTcp(target));
  await stream.write(question);
  await stream.end();
  return readText(stream);
}

export async function readText(stream: ByteStream): Promise<string> {
  let text = "";
  for (;;) {
    const bytes = await stream.read();
    if (bytes === null) return text;
    text += new TextDecoder().decode(bytes);
  }
}

export async function until(what: () => boolean, ms = 15_000): Promise<void> {
  const endMs = performance.now() + ms;
  while (!what()) {
    if (performance.now() > endMs) throw new Error(`Never: ${String(what)}`);
    await Bun.sleep(5);
  }
}

export interface Running {
  readonly code: number;
  readonly err: string;
  readonly out: string;
}

/** Runs a command that ends by itself. */
export async function run(
  words: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<Running> {
  const context = memoryContext({ env });
  const code = await main(words, context);
  checkPrintedJson(jsonOutputs, words, context.out());
  return { code, err: context.err(), out: context.out() };
}

/** Runs a command that goes on until it is stopped, and stops it when `work` is done. */
export async function whileRunning(
  words: readonly string[],
  env: Readonly<Record<string, string>>,
  work: (context: MemoryContext) => Promise<void>,
): Promise<Running> {
  const context = memoryContext({ env });
  let isOver = false;
  const running = main(words, context).finally(() => {
    isOver = true;
  });
  try {
    await until(() => isOver || /->/.test(context.err() + context.out()));
    if (isOver) throw new Error(`It ended at once: ${context.err()}`);
    await work(context);
  } finally {
    context.stop("SIGINT");
    await running;
  }
  return { code: await running, err: context.err(), out: context.out() };
}
