import type { Log } from "../../system/log.ts";
import type { DescriptorReader } from "../../system/process-pipe.ts";
import { initLimits } from "./limits.ts";

/** What PID 1 writes to its console, line by line into our log: clipped, limited, without control characters. */
export function logConsole(reader: DescriptorReader, log: Log): void {
  const lines = new ConsoleLines(log);
  const follow = async (): Promise<void> => {
    for (;;) {
      const bytes = await reader.read();
      if (bytes === null) break;
      lines.receive(bytes, performance.now());
    }
    reader.close();
  };
  follow().catch(() => reader.close());
}

class ConsoleLines {
  readonly #log: Log;
  readonly #decoder = new TextDecoder();
  #partial = "";
  #windowStartMs = 0;
  #inWindow = 0;
  #dropped = 0;

  constructor(log: Log) {
    this.#log = log;
  }

  receive(bytes: Uint8Array, nowMs: number): void {
    const lines = (this.#partial + this.#decoder.decode(bytes, { stream: true })).split("\n");
    this.#partial = (lines.pop() ?? "").slice(0, initLimits.consoleLineBytesMax);
    for (const line of lines) this.#line(line, nowMs);
  }

  #line(line: string, nowMs: number): void {
    if (nowMs - this.#windowStartMs >= 1000) {
      this.#windowStartMs = nowMs;
      this.#inWindow = 0;
    }
    this.#inWindow += 1;
    if (this.#inWindow > initLimits.consoleLinesPerSecond) {
      this.#dropped += 1;
      return;
    }
    const text = line.replaceAll(/\p{Cc}/gu, " ").trim();
    if (text === "") return;
    const dropped = this.#dropped === 0 ? undefined : this.#dropped;
    this.#dropped = 0;
    this.#log("info", "console", { line: text.slice(0, initLimits.consoleLineBytesMax), dropped });
  }
}
