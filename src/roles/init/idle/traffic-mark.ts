import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ByteStream } from "../../../protocol/byte-stream.ts";
import { initLimits } from "../limits.ts";

/**
 * How the link, which carries forwards and copies, lets the keeper know that they are in use: the time
 * of an empty file. So it costs nothing per byte, and a link of another version changes nothing.
 */
export function trafficFileIn(runDir: string): string {
  return join(runDir, "traffic");
}

export class TrafficMark {
  readonly #path: string;
  #toldMs = Number.NEGATIVE_INFINITY;

  constructor(path: string) {
    this.#path = path;
  }

  passed(nowMs: number = performance.now()): void {
    if (nowMs - this.#toldMs < initLimits.trafficTellMs) return;
    this.#toldMs = nowMs;
    try {
      writeFileSync(this.#path, "", { mode: 0o600 });
    } catch {
      // Nowhere to write: then it does not count.
    }
  }
}

/** A stream whose bytes are noted while `counts`. */
export class MeteredStream implements ByteStream {
  readonly #stream: ByteStream;
  readonly #mark: TrafficMark;
  counts = false;

  constructor(stream: ByteStream, mark: TrafficMark) {
    this.#stream = stream;
    this.#mark = mark;
  }

  /** Who asks for more has got what was there before: what is noted is that, and no promise is added. */
  read(): Promise<Uint8Array | null> {
    if (this.counts) this.#mark.passed();
    return this.#stream.read();
  }

  write(bytes: Uint8Array): Promise<void> {
    if (this.counts) this.#mark.passed();
    return this.#stream.write(bytes);
  }

  end(): Promise<void> {
    return this.#stream.end();
  }

  abort(code: number): void {
    this.#stream.abort(code);
  }
}
