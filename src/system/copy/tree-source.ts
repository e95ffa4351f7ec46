import { ProtocolError } from "../../protocol/errors.ts";
import {
  type FileEntry,
  type FileFailure,
  type FileMessage,
  onlyIfSame,
} from "../../protocol/file-frame.ts";
import { averageBitsMax, averageBitsMin } from "../../protocol/content-chunks.ts";
import { limits } from "../../protocol/limits.ts";
import { ChunkPlaces } from "./chunk-places.ts";
import { copyLimits } from "./copy-limits.ts";
import { type CopyObserver, type CopyPeer, nobody } from "./copy-peer.ts";
import { CopyTrouble, troubleOf } from "./copy-trouble.ts";
import { digestOf, readSmall, sendFile, type FileWish } from "./file-sender.ts";
import { pathText } from "./path-bytes.ts";
import type { SourceTree } from "./source-tree.ts";
import { walkTree, type WalkOptions, type WalkStep } from "./tree-walk.ts";

export interface TreeSourceOptions extends WalkOptions {
  /** Paths that are not to be sent, for something of that name there is to stay. */
  readonly declined?: ReadonlySet<string>;
  readonly observer?: CopyObserver;
}

/** Announced, and neither done nor given up. */
interface Announced {
  readonly path: Buffer;
  readonly tree: SourceTree;
  readonly entry: FileEntry;
  readonly content: Uint8Array | undefined;
  chunks: ChunkPlaces | undefined;
}

/**
 * The side that has the files. It runs ahead with names, as far as the window goes, and answers each
 * wish with content, so that a small file costs no round trip.
 */
export class TreeSource implements CopyPeer {
  readonly #options: TreeSourceOptions;
  readonly #observer: CopyObserver;
  readonly #announced = new Map<number, Announced>();
  readonly #wishes: FileWish[] = [];
  readonly #queue: FileMessage[] = [];
  #keptBytes = 0;
  #counting: Generator<"working", void, undefined> | undefined;
  #walk: Generator<WalkStep, void, undefined>;
  #walked = false;
  #sending: Sending | undefined;
  #digests = new Map<number, string>();
  #over = false;

  constructor(options: TreeSourceOptions) {
    this.#options = options;
    this.#observer = options.observer ?? nobody;
    this.#counting = this.#count();
    this.#walk = walkTree(options);
  }

  get over(): boolean {
    return this.#over;
  }

  receive(message: FileMessage): void {
    switch (message.type) {
      case "chunks":
        this.#takeChunks(message.id, message);
        return;
      case "want":
        this.#takeWish(message);
        return;
      case "done": {
        const done = this.#settle(message.id);
        if (done === undefined) throw new ProtocolError("Done with a file that was not announced");
        const { path, entry } = done;
        const sha256 = this.#digests.get(message.id);
        this.#digests.delete(message.id);
        this.#observer.settled(pathText(path), entry.size, message.outcome, sha256);
        return;
      }
      case "failed":
        this.#refused(message);
        return;
      case "finished":
        if (!this.#walked || this.#announced.size > 0)
          throw new ProtocolError("Finished before all is done");
        this.#over = true;
        return;
      default:
        throw new ProtocolError(`${message.type} is not for the side that has the files`);
    }
  }

  next(): FileMessage | "working" | undefined {
    const queued = this.#queue.shift();
    if (queued !== undefined) return queued;
    if (this.#counting !== undefined) return this.#countOn();
    if (!this.#walked && this.#announced.size < limits.fileWindow) return this.#announce();
    return this.#content();
  }

  close(): void {
    this.#stopSending();
    this.#counting?.return();
    this.#walk.return();
    for (const { tree } of this.#announced.values()) tree.release();
    this.#announced.clear();
  }

  #stopSending(): void {
    this.#sending?.messages.return();
    this.#sending = undefined;
  }

  #countOn(): FileMessage | "working" {
    if (this.#counting?.next().done !== true) return "working";
    this.#counting = undefined;
    return this.next() ?? "working";
  }

  /** For the progress: how much there is. */
  *#count(): Generator<"working", void, undefined> {
    let [files, bytes, steps] = [0, 0, 0];
    for (const step of walkTree(this.#options)) {
      steps += 1;
      if (steps % stepsAtOnce === 0) yield "working";
      if (step.kind !== "entry" || step.entry.kind === "folder") continue;
      files += 1;
      bytes += step.entry.size;
    }
    this.#observer.total(files, bytes);
    this.#queue.push({ type: "total", files, bytes });
  }

  #announce(): FileMessage | "working" {
    const step = this.#walk.next();
    if (step.done === true) {
      this.#walked = true;
      return { type: "all" };
    }
    const { value } = step;
    if (value.kind === "leave") return { type: "leave", id: value.id };
    if (value.kind === "trouble") {
      const { code, message } = value.trouble;
      this.#observer.failed(value.path, code, message);
      return { type: "failed", id: 0, code, message };
    }
    const { entry, path } = value;
    if (entry.kind !== "folder" && this.#options.declined?.has(pathText(path)) === true) {
      this.#observer.settled(pathText(path), entry.size, "kept", undefined);
      return "working";
    }
    return { type: "entry", entry: this.#remember(value) };
  }

  #remember({ entry, path, tree }: Extract<WalkStep, { kind: "entry" }>): FileEntry {
    if (entry.kind === "folder") return entry;
    const isSmall = entry.kind === "file" && entry.size <= copyLimits.smallFileBytesMax;
    const content = isSmall ? readSmall(tree, path, entry.size) : undefined;
    const digest = content === undefined ? undefined : digestOf(content);
    const isKept = this.#keptBytes + entry.size <= copyLimits.keptBytesMax;
    if (content !== undefined && isKept) this.#keptBytes += content.length;
    const kept = isKept ? content : undefined;
    const said = { ...entry, digest };
    tree.hold();
    this.#announced.set(entry.id, { path, tree, entry: said, content: kept, chunks: undefined });
    return said;
  }

  #content(): FileMessage | "working" | undefined {
    this.#sending ??= this.#nextSending();
    if (this.#sending === undefined) return undefined;
    const { wish, messages } = this.#sending;
    try {
      const step = messages.next();
      if (step.done === true) {
        this.#sending = undefined;
        return this.next() ?? "working";
      }
      this.#observe(step.value);
      // The next wish for it may come before anybody asks for more.
      if (isNo(step.value, wish)) this.#stopSending();
      return step.value;
    } catch (error) {
      this.#sending = undefined;
      const path = pathText(this.#announced.get(wish.id)?.path ?? Buffer.alloc(0));
      return this.#giveUp(wish.id, troubleOf(error, path));
    }
  }

  #nextSending(): Sending | undefined {
    const wish = this.#wishes.shift();
    const announced = wish === undefined ? undefined : this.#announced.get(wish.id);
    if (wish === undefined || announced === undefined) return undefined;
    const { path, content, tree } = announced;
    const file = { path, content, tree };
    return { wish, messages: sendFile(file, wish) };
  }

  #observe(message: FileMessage | "working"): void {
    if (message === "working") return;
    if (message.type === "start") {
      const { path, entry } = this.#announced.get(message.id) ?? {};
      if (path !== undefined && entry !== undefined)
        this.#observer.began(pathText(path), entry.size, message.offset);
    } else if (message.type === "content")
      this.#observer.advanced(message.bytes.length, message.bytes.length);
    else if (message.type === "hole" || message.type === "same")
      this.#observer.advanced(message.length, 0);
    else if (message.type === "end")
      this.#digests.set(message.id, Buffer.from(message.sha256).toString("hex"));
  }

  #takeChunks(id: number, { chunks }: Extract<FileMessage, { type: "chunks" }>): void {
    const announced = this.#announced.get(id);
    if (announced === undefined) throw new ProtocolError("Chunks of a file that was not announced");
    announced.chunks ??= new ChunkPlaces();
    announced.chunks.add(chunks);
    const known = [...this.#announced.values()].filter((one) => one.chunks !== undefined);
    if (known.length > copyLimits.deltasMax + 1)
      throw new ProtocolError("Chunks of more files than may wait");
  }

  #takeWish({ id, offset, sha256, averageBits }: Extract<FileMessage, { type: "want" }>): void {
    const announced = this.#announced.get(id);
    const isNew = !this.#wishes.some((wish) => wish.id === id) && this.#sending?.wish.id !== id;
    if (announced?.entry.kind !== "file" || !isNew)
      throw new ProtocolError("A wish for a file that is not there to be had");
    const { chunks } = announced;
    if (averageBits === onlyIfSame && chunks !== undefined)
      throw new ProtocolError("A question about the whole after its chunks");
    if (chunks !== undefined && (averageBits < averageBitsMin || averageBits > averageBitsMax))
      throw new ProtocolError(`Chunks of 2^${averageBits} bytes`);
    this.#wishes.push({ id, offset, sha256, averageBits, chunks });
  }

  /** The other side does not want it any more; it hears from us that nothing more comes. */
  #refused({ id, code, message }: FileFailure): void {
    const announced = this.#settle(id);
    this.#observer.failed(announced === undefined ? "" : pathText(announced.path), code, message);
    const waiting = this.#wishes.findIndex((wish) => wish.id === id);
    if (waiting >= 0) this.#wishes.splice(waiting, 1);
    const isUnderWay = this.#sending?.wish.id === id;
    if (isUnderWay) this.#stopSending();
    if (isUnderWay || waiting >= 0) this.#queue.push({ type: "failed", id, code, message: "" });
  }

  #giveUp(id: number, trouble: CopyTrouble): FileMessage {
    const { code, message } = trouble;
    const path = this.#settle(id)?.path ?? Buffer.alloc(0);
    this.#observer.failed(pathText(path), code, message);
    return { type: "failed", id, code, message };
  }

  #settle(id: number): Announced | undefined {
    const announced = this.#announced.get(id);
    this.#announced.delete(id);
    announced?.tree.release();
    this.#keptBytes -= announced?.content?.length ?? 0;
    return announced;
  }
}

interface Sending {
  readonly wish: FileWish;
  readonly messages: ReturnType<typeof sendFile>;
}

/** The answer to a question about the whole file. */
function isNo(message: FileMessage | "working", wish: FileWish): boolean {
  if (message === "working" || wish.averageBits !== onlyIfSame) return false;
  return message.type === "start" && message.offset !== wish.offset;
}

const stepsAtOnce = 2000;
