import { ProtocolError } from "../../../protocol/errors.ts";
import type { FileEntry, FileMessage, FileTrouble } from "../../../protocol/file-message.ts";
import type { CopyObserver, CopyPeer } from "../../../system/copy/copy-peer.ts";

/** Of the one file that goes to standard output: what is out already, over however many connections. */
export class StreamedSoFar {
  readonly #write: (bytes: Uint8Array) => Promise<void>;
  readonly hash = new Bun.CryptoHasher("sha256");
  offset = 0;
  /** Rejects where the output is closed. */
  written: Promise<void> = Promise.resolve();

  constructor(write: (bytes: Uint8Array) => Promise<void>) {
    this.#write = write;
  }

  append(bytes: Uint8Array): void {
    this.hash.update(bytes);
    this.offset += bytes.length;
    this.written = this.written.then(async () => this.#write(bytes));
    this.written.catch(() => undefined);
  }
}

type Content = Extract<FileMessage, { type: "start" | "content" | "whole" | "hole" | "end" }>;

/** The side that gets one file and keeps nothing of it: each byte goes out in its turn, once. */
export class StreamSink implements CopyPeer {
  readonly #soFar: StreamedSoFar;
  readonly #observer: CopyObserver;
  readonly #queue: FileMessage[] = [];
  #entry: FileEntry | undefined;
  #isUnderWay = false;
  #isSettled = false;
  #all = false;
  #over = false;

  constructor(soFar: StreamedSoFar, observer: CopyObserver) {
    this.#soFar = soFar;
    this.#observer = observer;
  }

  get over(): boolean {
    return this.#over;
  }

  /** What came is out: nothing more is read before. */
  async drained(): Promise<void> {
    await this.#soFar.written;
  }

  receive(message: FileMessage): void {
    switch (message.type) {
      case "total":
        this.#observer.total(message.files, message.bytes);
        return;
      case "entry":
        this.#announced(message.entry);
        return;
      case "all":
        this.#all = true;
        return;
      case "failed":
        if (message.id === this.#entry?.id) this.#settle();
        // What was given up here comes back without a word.
        if (message.message !== "")
          this.#observer.failed(this.#name, message.code, message.message);
        return;
      case "start":
      case "content":
      case "whole":
      case "hole":
      case "end":
        this.#content(message);
        return;
      default:
        throw new ProtocolError(`${message.type} is not for a file that streams`);
    }
  }

  next(): FileMessage | undefined {
    const queued = this.#queue.shift();
    if (queued !== undefined) return queued;
    const isWaiting = this.#entry !== undefined && !this.#isSettled;
    if (this.#over || !this.#all || isWaiting) return undefined;
    this.#over = true;
    return { type: "finished" };
  }

  close(): void {
    // It holds nothing.
  }

  #announced(entry: FileEntry): void {
    if (entry.kind !== "file") throw new ProtocolError("No file where one was asked for");
    if (this.#entry !== undefined) {
      const message = "only one file can go to standard output";
      this.#queue.push({ type: "failed", id: entry.id, code: "refused", message });
      this.#observer.failed("", "refused", message);
      return;
    }
    this.#entry = entry;
    const { offset, hash } = this.#soFar;
    const sha256 = offset === 0 ? undefined : hash.copy().digest();
    this.#queue.push({ type: "want", id: entry.id, offset, sha256, averageBits: 0 });
  }

  #content(message: Content): void {
    const { id, size = 0 } = this.#entry ?? {};
    if (message.id !== id) throw new ProtocolError("Content that was not wished for");
    if (this.#isSettled) return;
    if (message.type === "start") this.#start(message.offset, size);
    else if (message.type === "whole") this.#whole(message.bytes, size);
    else if (!this.#isUnderWay) throw new ProtocolError("Content before its start");
    else if (message.type === "end") this.#ended(message);
    else this.#append(message);
  }

  #start(offset: number, size: number): void {
    if (offset !== this.#soFar.offset) {
      this.#giveUp("changed", "changed after its beginning was written to standard output");
      return;
    }
    this.#isUnderWay = true;
    this.#observer.began(this.#name, size, offset);
  }

  #whole(bytes: Uint8Array, size: number): void {
    const { id = 0, digest } = this.#entry ?? {};
    if (digest === undefined) throw new ProtocolError("The whole of a file without a digest");
    this.#start(0, size);
    if (this.#isSettled) return;
    this.#append({ type: "content", id, offset: 0, bytes });
    this.#ended({ id, size: bytes.length, sha256: digest });
  }

  #append(message: Extract<Content, { type: "content" | "hole" }>): void {
    if (message.offset !== this.#soFar.offset)
      throw new ProtocolError("Content that does not follow on the last");
    const bytes = message.type === "content" ? message.bytes : new Uint8Array(message.length);
    this.#soFar.append(bytes);
    this.#observer.advanced(bytes.length, message.type === "content" ? bytes.length : 0);
  }

  #ended({
    id,
    size,
    sha256,
  }: Pick<Extract<Content, { type: "end" }>, "id" | "size" | "sha256">): void {
    if (size !== this.#soFar.offset) throw new ProtocolError("The end of a file before its end");
    if (sha256 === undefined) throw new ProtocolError("The end of a file without its digest");
    if (!this.#soFar.hash.copy().digest().equals(sha256)) {
      this.#giveUp("corrupt", "what arrived is not what was sent");
      return;
    }
    this.#settle();
    this.#queue.push({ type: "done", id, outcome: "written" });
    this.#observer.settled(this.#name, size, "written", sha256);
  }

  #giveUp(code: FileTrouble, words: string): void {
    const message = `${this.#name}: ${words}`;
    this.#settle();
    this.#queue.push({ type: "failed", id: this.#entry?.id ?? 0, code, message });
    this.#observer.failed(this.#name, code, message);
  }

  #settle(): void {
    this.#isSettled = true;
  }

  get #name(): string {
    return Buffer.from(this.#entry?.name ?? []).toString("utf8");
  }
}
