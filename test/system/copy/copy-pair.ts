import { mkdtempSync, readdirSync, readlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { decodeFileMessage, encodeFileMessage } from "../../../src/protocol/file-frame.ts";
import type { FileMessage } from "../../../src/protocol/file-message.ts";
import { FrameDecoder } from "../../../src/protocol/frame.ts";
import { type CopyObserver, type CopyPeer, nobody } from "../../../src/system/copy/copy-peer.ts";
import { TreeSink, type TreeSinkOptions } from "../../../src/system/copy/tree-sink.ts";
import { TreeSource, type TreeSourceOptions } from "../../../src/system/copy/tree-source.ts";

/** Two folders that go away with it, and what a copy between them said. */
export class CopyStage implements Disposable {
  readonly folder: string = mkdtempSync(join(tmpdir(), "fv-copy-"));
  readonly from: string = join(this.folder, "from");
  readonly to: string = join(this.folder, "to");
  readonly settled: string[] = [];
  readonly failed: string[] = [];
  sentBytes = 0;

  observer(): CopyObserver {
    return {
      ...nobody,
      advanced: (_bytes, sent) => (this.sentBytes += sent),
      settled: (path, _size, outcome) => this.settled.push(`${outcome} ${path}`),
      failed: (_path, code, message) => this.failed.push(`${code} ${message}`),
    };
  }

  source(options: Partial<TreeSourceOptions> = {}): TreeSource {
    const sources = [Buffer.from(this.from)];
    return new TreeSource({
      sources,
      glob: false,
      recursive: true,
      exclude: [],
      digests: true,
      ...options,
    });
  }

  sink(options: Partial<TreeSinkOptions> = {}): TreeSink {
    return new TreeSink({
      existing: "replace",
      dry_run: false,
      preserve: false,
      destination: Buffer.from(this.to),
      intoFolder: false,
      umask: 0o022,
      modeMask: 0o777,
      showsDigests: false,
      observer: this.observer(),
      ...options,
    });
  }

  [Symbol.dispose](): void {
    // By descriptors: rmSync takes seconds for a thousand folders in folders.
    Bun.spawnSync(["rm", "-rf", this.folder]);
  }
}

/** Until both are over, or `until` says so; each message goes through its bytes. Each side has so many turns in a row. */
export function runPair(
  source: CopyPeer,
  sink: CopyPeer,
  until: (said: FileMessage) => boolean = () => false,
  turns = 40,
): void {
  for (let idle = 0; !(source.over && sink.over) && idle < 3;) {
    idle += 1;
    for (const [peer, other] of [
      [source, sink],
      [sink, source],
    ] as const) {
      for (let turn = 0; turn < turns; turn++) {
        const message = peer.next();
        if (message === undefined) break;
        idle = 0;
        if (message === "working") continue;
        other.receive(throughBytes(message));
        if (until(message)) return;
      }
    }
  }
}

function throughBytes(message: FileMessage): FileMessage {
  const decoder = new FrameDecoder();
  decoder.feed(encodeFileMessage(message));
  const frame = decoder.next();
  if (frame === undefined) throw new Error("Not a whole frame");
  return decodeFileMessage(frame);
}

/** Of this process, that lead into a folder. */
export function descriptorsIn(path: string): number {
  const leadIn = (fd: string): boolean => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith(path);
    } catch {
      return false;
    }
  };
  return readdirSync("/proc/self/fd").filter(leadIn).length;
}
