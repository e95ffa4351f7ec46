import { ProtocolError } from "../../protocol/errors.ts";
import type { FileEntry, FileMessage, FileOutcome } from "../../protocol/file-message.ts";
import { limits } from "../../protocol/limits.ts";
import { AnswerQueue } from "./answer-queue.ts";
import { copyLimits } from "./copy-limits.ts";
import type { CopyObserver, CopyPeer } from "./copy-peer.ts";
import { CopyTrouble, mustBeReplaceable, troubleOf } from "./copy-trouble.ts";
import { type Destination, destinationOrTrouble } from "./destination.ts";
import { FileReceiver } from "./file-receiver.ts";
import { FolderNode, finishFolder } from "./folder-node.ts";
import { momentName } from "./part-name.ts";
import { isDot, pathText } from "./path-bytes.ts";
import { timeOf, type Wishes } from "./sink-wishes.ts";
import { TakenTops } from "./taken-tops.ts";

export interface TreeSinkOptions extends Wishes {
  readonly destination: Buffer;
  readonly intoFolder: boolean;
  /** Whether a top like that was asked for: the other side must not choose it. */
  readonly isAskedFor?: (top: FileEntry) => boolean;
  /** Paths that are to stay as they are. */
  readonly declined?: ReadonlySet<string>;
  readonly observer?: CopyObserver;
}

interface Task {
  readonly entry: FileEntry;
  readonly node: FolderNode;
  readonly name: Uint8Array;
  readonly receiver: FileReceiver | undefined;
}

interface Preparation {
  readonly task: Task;
  /** Of files in folders that are there; all else takes one. */
  readonly steps: ReturnType<FileReceiver["prepare"]> | undefined;
  readonly isDeclined: boolean;
}

/** The side that gets the files. What goes wrong with one is said to the other side, and the rest goes on. */
export class TreeSink implements CopyPeer {
  readonly #options: TreeSinkOptions;
  /** Undefined where nobody looks: then no path is made into text. */
  readonly #observer: CopyObserver | undefined;
  readonly #destination: Destination | CopyTrouble;
  readonly #top: FolderNode;
  /** Folders in which more may come. */
  readonly #open = new Map<number, FolderNode>();
  /** Announced, and not wished for yet. */
  readonly #waiting: Task[] = [];
  /** Wished for: content may come. */
  readonly #wished = new Map<number, Task>();
  /** Those of them of which the other side has the chunks. */
  readonly #deltas = new Set<number>();
  /** Given up here while content may still be on its way. */
  readonly #discarding = new Set<number>();
  readonly #queue = new AnswerQueue();
  readonly #takenTops = new TakenTops();
  #preparing: Preparation | undefined;
  #lastId = 0;
  #all = false;
  #over = false;

  constructor(options: TreeSinkOptions) {
    this.#options = options;
    this.#observer = options.observer;
    this.#destination = destinationOrTrouble(options.destination, options.intoFolder);
    const isOpen = !(this.#destination instanceof CopyTrouble);
    this.#top = new FolderNode({
      parent: undefined,
      path: isOpen ? this.#destination.path : Buffer.alloc(0),
      folder: isOpen ? this.#destination.folder : undefined,
    });
    this.#top.hold();
  }

  get over(): boolean {
    return this.#over;
  }

  receive(message: FileMessage): void {
    switch (message.type) {
      case "total":
        this.#observer?.total(message.files, message.bytes);
        return;
      case "entry":
        this.#announced(message.entry);
        return;
      case "leave":
        this.#left(message.id);
        return;
      case "all":
        if (this.#open.size > 0) throw new ProtocolError("The end of all within a folder");
        this.#all = true;
        return;
      case "start":
      case "content":
      case "hole":
      case "same":
        this.#content(message);
        return;
      case "end":
        this.#ended(message);
        return;
      case "whole":
        this.#whole(message);
        return;
      case "failed":
        this.#failedThere(message);
        return;
      default:
        throw new ProtocolError(`${message.type} is not for the side that gets the files`);
    }
  }

  next(): FileMessage | "working" | undefined {
    const queued = this.#queue.shift();
    if (queued !== undefined) return queued;
    this.#preparing ??= this.#nextToPrepare();
    if (this.#preparing !== undefined) return this.#prepare(this.#preparing);
    const isDone = this.#all && this.#waiting.length === 0 && this.#wished.size === 0;
    if (!isDone || this.#over) return undefined;
    this.#over = true;
    if (!this.#options.dry_run) this.#top.folder?.sync();
    return { type: "finished" };
  }

  close(): void {
    this.#preparing?.steps?.return(undefined);
    const begun = this.#preparing === undefined ? [] : [this.#preparing.task];
    const tasks = [...begun, ...this.#wished.values(), ...this.#waiting];
    for (const { receiver } of tasks) receiver?.close();
    for (const { node } of tasks) node.abandon();
    for (const node of this.#open.values()) node.abandon();
    this.#top.abandon();
  }

  #announced(entry: FileEntry): void {
    if (this.#all || entry.id <= this.#lastId) throw new ProtocolError("An entry out of its turn");
    this.#lastId = entry.id;
    const node = entry.parent === 0 ? this.#top : this.#open.get(entry.parent);
    if (node === undefined) throw new ProtocolError("An entry in a folder that is not open");
    const isTop = entry.parent === 0;
    if (isTop) this.#mustBeAskedFor(entry);
    const renamed = this.#destination instanceof CopyTrouble ? undefined : this.#destination.name;
    const name = isTop ? (renamed ?? entry.name) : entry.name;
    const isOnly = renamed !== undefined;
    if (isTop && !isDot(name) && this.#takenTops.take(name, entry.kind, isOnly) === "taken")
      this.#refuseTop(entry, node, name);
    else if (entry.kind === "folder") this.#openFolder(entry, node, name);
    else this.#addTask(entry, node, name);
  }

  #mustBeAskedFor(entry: FileEntry): void {
    if (this.#options.isAskedFor?.(entry) === false)
      throw new ProtocolError("The machine sends something that was not asked for");
  }

  /** With a word, not a file in place of the one that was just copied. */
  #refuseTop(entry: FileEntry, parent: FolderNode, name: Uint8Array): void {
    const path = parent.pathOf(name);
    const words = "another of the sources has that name there, and was copied first";
    this.#say(entry.id, new CopyTrouble("in-the-way", words), path);
    if (entry.kind !== "folder") return;
    const refused = new FolderNode({ parent, path, folder: undefined, isRefused: true });
    this.#open.set(entry.id, refused);
  }

  #openFolder(entry: FileEntry, parent: FolderNode, name: Uint8Array): void {
    if (this.#open.size >= copyLimits.foldersOpenMax)
      throw new ProtocolError("Too many folders in folders");
    const path = isDot(name) ? parent.path : parent.pathOf(name);
    try {
      this.#mustBeThere();
      this.#open.set(entry.id, this.#folderNode(entry, { parent, name, path }));
    } catch (error) {
      this.#say(entry.id, troubleOf(error, pathText(path)), path);
      this.#open.set(
        entry.id,
        new FolderNode({ parent, path, folder: undefined, isRefused: true }),
      );
    }
  }

  #folderNode(
    entry: FileEntry,
    { parent, name, path }: { parent: FolderNode; name: Uint8Array; path: Buffer },
  ): FolderNode {
    const { folder } = parent;
    const isRefused = parent.isRefused;
    if (folder === undefined) return new FolderNode({ parent, path, folder, isRefused });
    if (isDot(name)) return new FolderNode({ parent, path, folder: folder.enter(name) });
    const there = folder.look(name);
    if (there !== undefined && there.kind !== "folder")
      throw new CopyTrouble(
        "in-the-way",
        `${pathText(path)}: a ${there.kind} is where the folder should be`,
      );
    const isNew = there === undefined;
    if (isNew && this.#options.dry_run) return new FolderNode({ parent, path, folder: undefined });
    if (isNew) folder.make(name);
    const finish = this.#options.dry_run
      ? {}
      : { finish: finishFolder(entry, isNew, this.#options) };
    return new FolderNode({ parent, path, folder: folder.enter(name), isNew, ...finish });
  }

  #addTask(entry: FileEntry, node: FolderNode, name: Uint8Array): void {
    if (this.#waiting.length + this.#wished.size >= limits.fileWindow + 1)
      throw new ProtocolError("More names at once than the window allows");
    const { folder, isNew } = node;
    const receiver =
      entry.kind === "file" && folder !== undefined
        ? new FileReceiver({ folder, isNew, name }, entry, this.#options)
        : undefined;
    node.hold();
    this.#waiting.push({ entry, node, name, receiver });
  }

  #left(id: number): void {
    const node = this.#open.get(id);
    if (node === undefined) throw new ProtocolError("The end of a folder that is not open");
    this.#open.delete(id);
    this.#orSay(id, node.path, () => node.leave());
  }

  #nextToPrepare(): Preparation | undefined {
    if (this.#deltas.size >= copyLimits.deltasMax) return undefined;
    const task = this.#waiting.shift();
    if (task === undefined) return undefined;
    const { declined } = this.#options;
    const isDeclined =
      declined !== undefined &&
      declined.size > 0 &&
      declined.has(pathText(task.node.pathOf(task.name)));
    return { task, steps: isDeclined ? undefined : task.receiver?.prepare(), isDeclined };
  }

  #prepare({ task, steps, isDeclined }: Preparation): FileMessage | "working" {
    try {
      const outcome = (): FileOutcome => (isDeclined ? "kept" : this.#placeOther(task));
      const step = steps?.next() ?? { done: true, value: outcome() };
      const isWish = step.done !== true && step.value !== "working" && step.value.type === "want";
      if (step.done === true || isWish) this.#preparing = undefined;
      // The answer may be here before anybody asks for more.
      if (isWish) this.#wish(task);
      if (step.done !== true) return step.value;
      if (step.value !== undefined) this.#settle(task, step.value, undefined);
    } catch (error) {
      this.#preparing = undefined;
      this.#giveUp(task, error);
    }
    return this.#queue.shift() ?? "working";
  }

  #wish(task: Task): void {
    this.#wished.set(task.entry.id, task);
    if (task.receiver?.hasChunks === true) this.#deltas.add(task.entry.id);
  }

  #unwish(id: number): void {
    this.#wished.delete(id);
    this.#deltas.delete(id);
  }

  /** Links, and what is in folders that are not there. */
  #placeOther({ entry, node, name }: Task): FileOutcome {
    if (node.isRefused) return "skipped";
    this.#mustBeThere();
    const { folder } = node;
    const { existing, dry_run, preserve } = this.#options;
    if (folder === undefined) return "written";
    const there = folder.look(name);
    mustBeReplaceable(there);
    if (there !== undefined && existing === "keep") return "kept";
    if (dry_run) return "written";
    const moment = momentName(name);
    folder.link(entry.target, moment);
    if (preserve) folder.setLinkTime(moment, timeOf(entry));
    folder.rename(moment, name);
    return "written";
  }

  #content(message: Extract<FileMessage, { type: "start" | "content" | "hole" | "same" }>): void {
    if (this.#discarding.has(message.id)) return;
    const task = this.#mustBeWished(message.id);
    try {
      task.receiver?.receive(message);
    } catch (error) {
      this.#unwish(message.id);
      this.#discarding.add(message.id);
      this.#giveUp(task, error);
      return;
    }
    if (task.receiver?.isDifferent === true) {
      this.#unwish(message.id);
      this.#waiting.unshift(task);
    } else this.#observe(task, message);
  }

  #observe(
    { entry, node, name }: Task,
    message: Extract<FileMessage, { type: "start" | "content" | "hole" | "same" }>,
  ): void {
    if (message.type === "start")
      this.#observer?.began(pathText(node.pathOf(name)), entry.size, message.offset);
    else if (message.type === "content")
      this.#observer?.advanced(message.bytes.length, message.bytes.length);
    else this.#observer?.advanced(message.length, 0);
  }

  #ended(message: Extract<FileMessage, { type: "end" }>): void {
    if (this.#discarding.delete(message.id)) return;
    const task = this.#mustBeWished(message.id);
    this.#unwish(message.id);
    try {
      const outcome = task.receiver?.finish(message) ?? "skipped";
      this.#settle(task, outcome, task.receiver?.digest);
    } catch (error) {
      this.#giveUp(task, error);
    }
  }

  #whole(message: Extract<FileMessage, { type: "whole" }>): void {
    const { id, bytes } = message;
    if (this.#discarding.delete(id)) return;
    const task = this.#mustBeWished(id);
    this.#unwish(id);
    const { entry, receiver } = task;
    try {
      const outcome = receiver?.whole(message) ?? "skipped";
      this.#observe(task, { type: "start", id, offset: 0 });
      this.#observer?.advanced(bytes.length, bytes.length);
      this.#settle(task, outcome, entry.digest);
    } catch (error) {
      this.#giveUp(task, error);
    }
  }

  #failedThere({ id, code, message }: Extract<FileMessage, { type: "failed" }>): void {
    if (this.#discarding.delete(id)) return;
    const task = id === 0 ? undefined : this.#mustBeWished(id);
    this.#unwish(id);
    const path = task === undefined ? "" : pathText(task.node.pathOf(task.name));
    this.#observer?.failed(path, code, message);
    if (task !== undefined) this.#let(task);
  }

  #mustBeWished(id: number): Task {
    const task = this.#wished.get(id);
    if (task === undefined) throw new ProtocolError("Content that was not wished for");
    return task;
  }

  #settle(task: Task, outcome: FileOutcome, sha256: Uint8Array | undefined): void {
    const { entry, node, name } = task;
    this.#queue.push({ type: "done", id: entry.id, outcome });
    this.#observer?.settled(pathText(node.pathOf(name)), entry.size, outcome, sha256);
    this.#let(task);
  }

  #giveUp(task: Task, error: unknown): void {
    if (error instanceof ProtocolError) {
      // The copy is over: it is let go of with all that is open.
      this.#wished.set(task.entry.id, task);
      throw error;
    }
    const path = task.node.pathOf(task.name);
    const trouble = troubleOf(error, pathText(path));
    this.#say(task.entry.id, trouble, path);
    this.#let(task);
  }

  /** Nothing more comes of it. */
  #let({ entry, node, receiver }: Task): void {
    this.#orSay(entry.id, node.path, () => receiver?.close());
    this.#orSay(0, node.path, () => node.release());
  }

  #orSay(id: number, path: Buffer, body: () => void): void {
    try {
      body();
    } catch (error) {
      this.#say(id, troubleOf(error, pathText(path)), path);
    }
  }

  #say(id: number, trouble: CopyTrouble, path: Buffer): void {
    const text = pathText(path);
    // What is wrong with the destination is not about a name in it.
    const isWhole = trouble === this.#destination || trouble.message.includes(text);
    const message = isWhole ? trouble.message : `${text}: ${trouble.message}`;
    this.#queue.push({ type: "failed", id, code: trouble.code, message });
    this.#observer?.failed(text, trouble.code, message);
  }

  #mustBeThere(): void {
    if (this.#destination instanceof CopyTrouble) throw this.#destination;
  }
}
