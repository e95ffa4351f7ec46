import { ProtocolError } from "../../protocol/errors.ts";
import {
  type FileEntry,
  type FileFailure,
  type FileMessage,
  onlyIfSame,
} from "../../protocol/file-message.ts";
import { averageBitsMax, averageBitsMin } from "../../protocol/content-chunks.ts";
import { limits } from "../../protocol/limits.ts";
import { ChunkPlaces } from "./chunk-places.ts";
import { CountedWalk } from "./counted-walk.ts";
import { copyLimits } from "./copy-limits.ts";
import type { CopyObserver, CopyPeer } from "./copy-peer.ts";
import { CopyTrouble, troubleOf } from "./copy-trouble.ts";
import { digestOf, readSmall, sendFile, type FileWish } from "./file-sender.ts";
import { pathText } from "./path-bytes.ts";
import type { SourceTree } from "./source-tree.ts";
import type { WalkOptions, WalkStep } from "./tree-walk.ts";

export interface TreeSourceOptions extends WalkOptions {
  /** Paths that are not to be sent, for something of that name there is to stay. */
  readonly declined?: ReadonlySet<string>;
  /** Whether each file ends with its digest, also one that is sent as a whole. */
  readonly digests: boolean;
  readonly observer?: CopyObserver;
}

/** Announced, and neither done nor given up. */
interface Announced {
  readonly path: Buffer;
  readonly tree: SourceTree;
  readonly entry: FileEntry;
  readonly content: Uint8Array | undefined;
  chunks: ChunkPlaces | undefined;
  isWished: boolean;
  /** Its end was said. */
  isSent: boolean;
  /** Of what was sent of it. */
  sentDigest: Uint8Array | undefined;
}

/**
 * The side that has the files. It runs ahead with names, as far as the window goes, and answers each
 * wish with content, so that a small file costs no round trip.
 */
export class TreeSource implements CopyPeer {
  readonly #options: TreeSourceOptions;
  /** Undefined where nobody looks: then no path is made into text. */
  readonly #observer: CopyObserver | undefined;
  readonly #announced = new Map<number, Announced>();
  readonly #wishes: FileWish[] = [];
  readonly #queue: FileMessage[] = [];
  #keptBytes = 0;
  #counting: ReturnType<CountedWalk["count"]> | undefined;
  readonly #walk: CountedWalk;
  #walked = false;
  #sending: Sending | undefined;
  #over = false;

  constructor(options: TreeSourceOptions) {
    this.#options = options;
    this.#observer = options.observer;
    this.#walk = new CountedWalk(options);
    this.#counting = this.#walk.count();
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
        const { path, entry, sentDigest } = done;
        this.#observer?.settled(pathText(path), entry.size, message.outcome, sentDigest);
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
    this.#counting = undefined;
    this.#walk.close();
    for (const { tree } of this.#announced.values()) tree.release();
    this.#announced.clear();
  }

  #stopSending(): void {
    this.#sending?.messages.return();
    this.#sending = undefined;
  }

  #countOn(): FileMessage | "working" {
    const step = this.#counting?.next();
    if (step?.done !== true) return "working";
    this.#counting = undefined;
    const { files, bytes } = step.value;
    this.#observer?.total(files, bytes);
    return { type: "total", files, bytes };
  }

  #announce(): FileMessage | "working" {
    const value = this.#walk.next();
    if (value === undefined) {
      this.#walked = true;
      return { type: "all" };
    }
    if (value.kind === "leave") return { type: "leave", id: value.id };
    if (value.kind === "trouble") {
      const { code, message } = value.trouble;
      this.#observer?.failed(value.path, code, message);
      return { type: "failed", id: 0, code, message };
    }
    const { entry, path } = value;
    if (entry.kind !== "folder" && this.#options.declined?.has(pathText(path)) === true) {
      this.#observer?.settled(pathText(path), entry.size, "kept", undefined);
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
    this.#announced.set(entry.id, {
      path,
      tree,
      entry: said,
      content: kept,
      chunks: undefined,
      isWished: false,
      isSent: false,
      sentDigest: undefined,
    });
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
      if (step.value !== "working") this.#observe(step.value, wish.id);
      if (isNo(step.value, wish)) this.#awaitAnotherWish(wish.id);
      return step.value;
    } catch (error) {
      this.#sending = undefined;
      const path = pathText(this.#announced.get(wish.id)?.path ?? Buffer.alloc(0));
      return this.#giveUp(wish.id, troubleOf(error, path));
    }
  }

  /** It may come before anybody asks us for more. */
  #awaitAnotherWish(id: number): void {
    this.#stopSending();
    const announced = this.#announced.get(id);
    if (announced !== undefined) announced.isWished = false;
  }

  #nextSending(): Sending | undefined {
    const wish = this.#wishes.shift();
    const announced = wish === undefined ? undefined : this.#announced.get(wish.id);
    if (wish === undefined || announced === undefined) return undefined;
    const { path, content, tree } = announced;
    const file = { path, content, tree, needsDigest: this.#options.digests };
    return { wish, messages: sendFile(file, wish) };
  }

  #observe(message: FileMessage, id: number): void {
    const announced = this.#announced.get(id);
    if (announced === undefined) return;
    const { path, entry } = announced;
    if (message.type === "start") this.#observer?.began(pathText(path), entry.size, message.offset);
    else if (message.type === "whole") {
      this.#observer?.began(pathText(path), entry.size, 0);
      this.#observer?.advanced(message.bytes.length, message.bytes.length);
      announced.isSent = true;
      announced.sentDigest = entry.digest;
    } else if (message.type === "content")
      this.#observer?.advanced(message.bytes.length, message.bytes.length);
    else if (message.type === "hole" || message.type === "same")
      this.#observer?.advanced(message.length, 0);
    else if (message.type === "end") {
      announced.isSent = true;
      announced.sentDigest = message.sha256;
    }
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
    if (announced?.entry.kind !== "file" || announced.isWished)
      throw new ProtocolError("A wish for a file that is not there to be had");
    const { chunks } = announced;
    if (averageBits === onlyIfSame && chunks !== undefined)
      throw new ProtocolError("A question about the whole after its chunks");
    if (chunks !== undefined && (averageBits < averageBitsMin || averageBits > averageBitsMax))
      throw new ProtocolError(`Chunks of 2^${averageBits} bytes`);
    announced.isWished = true;
    this.#wishes.push({ id, offset, sha256, averageBits, chunks });
  }

  /** The other side does not want it any more; it hears from us that nothing more comes. */
  #refused({ id, code, message }: FileFailure): void {
    const announced = this.#settle(id);
    this.#observer?.failed(announced === undefined ? "" : pathText(announced.path), code, message);
    const waiting = this.#wishes.findIndex((wish) => wish.id === id);
    if (waiting >= 0) this.#wishes.splice(waiting, 1);
    const isUnderWay = this.#sending?.wish.id === id;
    if (isUnderWay) this.#stopSending();
    // Behind its end the other side waits for nothing more.
    const isOpen = isUnderWay && announced?.isSent !== true;
    if (isOpen || waiting >= 0) this.#queue.push({ type: "failed", id, code, message: "" });
  }

  #giveUp(id: number, trouble: CopyTrouble): FileMessage {
    const { code, message } = trouble;
    const path = this.#settle(id)?.path ?? Buffer.alloc(0);
    this.#observer?.failed(pathText(path), code, message);
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
