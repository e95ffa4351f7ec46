import { fileURLToPath } from "node:url";
import { childEnv } from "../../src/system/child-env.ts";
import type { LoadPlan } from "./load-plan.ts";
import { benchMaster } from "./ours.ts";
import { backend, pinned } from "./subject.ts";

/** The process that makes the load (`load.ts`), step by step. */
export class LoadProcess {
  readonly #child: Bun.Subprocess<"pipe", "pipe", "inherit">;
  readonly #lines: AsyncIterator<string>;
  #started = false;

  constructor(options: Pick<LoadPlan, "target" | "flows" | "seconds">) {
    const plan: LoadPlan = {
      ...options,
      backend,
      datagramBytes: 1200,
      pacedPerSecond: 10_000,
      healthyPerSecond: 100_000,
      epoch: benchMaster.epoch,
      master: benchMaster.master.toHex(),
    };
    const file = fileURLToPath(new URL("load.ts", import.meta.url));
    this.#child = Bun.spawn([...pinned(0), process.execPath, file, JSON.stringify(plan)], {
      env: childEnv({ PATH: process.env["PATH"] }),
      stdio: ["pipe", "pipe", "inherit"],
    });
    this.#lines = linesOf(this.#child.stdout);
  }

  /** Lets it take its next step, and gives what came of it. */
  async next(): Promise<Readonly<Record<string, number | undefined>>> {
    if (this.#started) {
      void this.#child.stdin.write("\n");
      await this.#child.stdin.flush();
    }
    this.#started = true;
    const line = await this.#lines.next();
    if (line.done === true) throw new Error("The load ended early");
    return JSON.parse(line.value) as Record<string, number>;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.exited;
  }
}

async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const bytes of stream) {
    text += decoder.decode(bytes, { stream: true });
    const lines = text.split("\n");
    text = lines.pop() ?? "";
    yield* lines;
  }
}
