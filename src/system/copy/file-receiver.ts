import {
  closeSync,
  fchmodSync,
  fchownSync,
  fdatasyncSync,
  fstatSync,
  ftruncateSync,
  readSync,
  writeSync,
} from "node:fs";
import { crc32 } from "node:zlib";
import { ProtocolError } from "../../protocol/errors.ts";
import { averageBitsFor } from "../../protocol/content-chunks.ts";
import {
  type FileEntry,
  type FileMessage,
  type FileOutcome,
  onlyIfSame,
} from "../../protocol/file-message.ts";
import type { FileLook } from "../file-look.ts";
import { startWriting } from "../filesystem.ts";
import { tryLock } from "../file-lock.ts";
import { ContentCheck } from "./content-check.ts";
import { copyLimits } from "./copy-limits.ts";
import { CopyTrouble, corrupt, mustBeReplaceable, troubleOf } from "./copy-trouble.ts";
import { listChunks } from "./chunk-list.ts";
import { digestOf } from "./file-sender.ts";
import { createdMode, type Folder } from "./folder.ts";
import { momentName, partName } from "./part-name.ts";
import { newFileMode, timeOf, type Wishes } from "./sink-wishes.ts";

type Preparing = Generator<FileMessage | "working", FileOutcome | undefined, undefined>;

/**
 * One file as it arrives. It is put together beside its place, under another name, and takes the place
 * of what was there in one step, once its digest is right. Throws `CopyTrouble`, or what the system says.
 */
export class FileReceiver {
  readonly entry: FileEntry;
  readonly #folder: Folder;
  readonly #isNewFolder: boolean;
  readonly #name: Uint8Array;
  readonly #wishes: Wishes;
  #there: FileLook | undefined;
  /** What is there now, of which the other side may say that parts stay the same. */
  #baseFd: number | undefined;
  #part: Part | undefined;
  readonly #check = new ContentCheck();
  #offset = 0;
  #started = false;
  #unsyncedBytes = 0;
  /** Whether what is there is the same as a whole: not asked, asked or answered. */
  #whole: "unknown" | "asked" | "same" | "different" = "unknown";
  hasChunks = false;

  constructor(place: Place, entry: FileEntry, wishes: Wishes) {
    this.#folder = place.folder;
    this.#isNewFolder = place.isNew;
    this.#name = place.name;
    this.entry = entry;
    this.#wishes = wishes;
  }

  /** Where it is known already what becomes of it, that; else the wish has been said. */
  *prepare(): Preparing {
    // To keep what is there means to look, whoever has put it there meanwhile.
    const isFree = this.#isNewFolder && this.#wishes.existing === "replace";
    const there = isFree ? undefined : this.#folder.look(this.#name);
    this.#there = there;
    const outcome = this.#outcomeAtOnce(there);
    if (outcome !== undefined) return outcome;
    if (this.entry.size >= copyLimits.resumeBytesMin) yield* this.#goOn();
    const averageBits = averageBitsFor(there?.size ?? 0);
    const isLarge = this.#wantsChunks(there);
    // Not beside what an earlier copy left: that is gone on with, and is not all of the file.
    const mayBeSame = this.#part === undefined && there?.size === this.entry.size;
    if (isLarge && this.#whole === "unknown" && mayBeSame) {
      yield* this.#askAboutWhole();
      return undefined;
    }
    if (isLarge) {
      this.#baseFd = this.#folder.open(this.#name);
      this.hasChunks = true;
      yield* listChunks(this.#baseFd, this.entry.id, averageBits);
    }
    yield this.#want(this.hasChunks ? averageBits : 0);
    return undefined;
  }

  /** Where no content is needed to know it. */
  #outcomeAtOnce(there: FileLook | undefined): FileOutcome | undefined {
    mustBeReplaceable(there);
    if (there !== undefined && this.#wishes.existing === "keep") return "kept";
    if (there?.kind === "file" && this.#isSameSmall(there)) {
      if (!this.#wishes.dry_run) this.#touch();
      return "same";
    }
    return this.#wishes.dry_run ? "written" : undefined;
  }

  /** Throws; a disk that is full is not left full of what is of no use. */
  receive(message: FileMessage): void {
    try {
      this.#take(message);
    } catch (error) {
      if (troubleOf(error, "").code === "full") this.#discardPart();
      throw error;
    }
  }

  #take(message: FileMessage): void {
    if (message.type === "start") this.#start(message.offset);
    else if (!this.#started) throw new ProtocolError("Content before its start");
    else if (message.type === "content") this.#append(message.offset, message.bytes);
    else if (message.type === "hole") this.#skip(message.offset, message.length);
    else if (message.type === "same") this.#keep(message);
  }

  /** All of it is here. */
  finish(end: Extract<FileMessage, { type: "end" }>): FileOutcome {
    const { size } = end;
    if (!this.#started || size !== this.#offset)
      throw new ProtocolError("The end of a file before its end");
    if (!this.#check.isAs(end)) {
      this.#discardPart();
      throw corrupt();
    }
    const isCompared = this.#whole === "same" || this.#baseFd !== undefined;
    if (this.#part === undefined && isCompared && size === this.#there?.size) {
      this.#touch();
      return "same";
    }
    this.#commit(this.#openPart());
    return "written";
  }

  /** Ours, of all that is here; undefined where it is neither shown nor needed. */
  get digest(): Uint8Array | undefined {
    return this.#check.digest;
  }

  /** All of a small one at once. */
  whole({ bytes, crc32: crc }: Extract<FileMessage, { type: "whole" }>): FileOutcome {
    const { digest, size } = this.entry;
    if (this.#started || digest === undefined || bytes.length !== size)
      throw new ProtocolError("The whole of a file that is another one");
    const isWrong = this.#wishes.showsDigests && Buffer.compare(digestOf(bytes), digest) !== 0;
    if (isWrong || crc32(bytes) !== crc) throw corrupt();
    try {
      this.#write(this.#openPart(), bytes);
    } catch (error) {
      this.#discardPart();
      throw error;
    }
    this.#commit(this.#openPart());
    return "written";
  }

  /** What can be gone on with stays. */
  close(): void {
    if (this.#baseFd !== undefined) closeSync(this.#baseFd);
    this.#baseFd = undefined;
    if (this.#part?.stays === false) this.#discardPart();
    if (this.#part !== undefined) closeSync(this.#part.fd);
    this.#part = undefined;
  }

  #isSameSmall(there: FileLook): boolean {
    const { digest, size } = this.entry;
    if (digest === undefined || there.size !== size || size > copyLimits.smallFileBytesMax)
      return false;
    const fd = this.#folder.open(this.#name);
    try {
      const bytes = Buffer.allocUnsafe(size + 1);
      const count = readSync(fd, bytes, 0, bytes.length, 0);
      return count === size && Buffer.compare(digestOf(bytes.subarray(0, count)), digest) === 0;
    } finally {
      closeSync(fd);
    }
  }

  /** What an earlier copy left is kept, if nobody else is at it. */
  *#goOn(): Generator<"working", void, undefined> {
    const name = partName(this.#name);
    if (this.#folder.look(name) === undefined) return;
    const fd = yield* this.#takeOver(name);
    this.#part = { fd, name, stays: true, mode: undefined };
    yield* this.#hashOn(fd);
  }

  /** Up to its end. */
  *#hashOn(fd: number): Generator<"working", void, undefined> {
    const bytes = Buffer.allocUnsafe(copyLimits.hashStepBytes);
    for (;;) {
      const count = readSync(fd, bytes, 0, bytes.length, this.#offset);
      if (count === 0) return;
      this.#check.found(bytes.subarray(0, count));
      this.#offset += count;
      yield "working";
    }
  }

  /** A copy that was broken off just now may take a moment to notice. */
  *#takeOver(name: Uint8Array): Generator<"working", number, undefined> {
    const untilMs = performance.now() + copyLimits.takeOverMs;
    for (;;) {
      try {
        return this.#openLocked(name);
      } catch (error) {
        const isBusy = error instanceof CopyTrouble && error.code === "busy";
        if (!isBusy || performance.now() > untilMs) throw error;
      }
      Bun.sleepSync(copyLimits.takeOverLookMs);
      yield "working";
    }
  }

  #openLocked(name: Uint8Array): number {
    const fd = this.#folder.reopen(name);
    const stats = fstatSync(fd);
    if (stats.isFile() && stats.nlink === 1 && tryLock(fd)) return fd;
    closeSync(fd);
    throw stats.isFile() && stats.nlink === 1
      ? new CopyTrouble("busy", "another copy is writing this file")
      : new CopyTrouble("in-the-way", "what an earlier copy left is no file any more");
  }

  /** Most files that are copied again have not changed, and cutting costs far more than one digest. */
  *#askAboutWhole(): Generator<FileMessage | "working", void, undefined> {
    this.#whole = "asked";
    const fd = this.#folder.open(this.#name);
    try {
      yield* this.#hashOn(fd);
    } finally {
      closeSync(fd);
    }
    yield this.#want(onlyIfSame);
  }

  #want(averageBits: number): FileMessage {
    const offset = this.#offset;
    const sha256 = offset === 0 ? undefined : this.#check.digest;
    return { type: "want", id: this.entry.id, averageBits, offset, sha256 };
  }

  /** The answer was no: it has to be prepared once more. */
  get isDifferent(): boolean {
    return this.#whole === "different" && !this.#started && !this.hasChunks;
  }

  #wantsChunks(there: FileLook | undefined): boolean {
    const { size } = this.entry;
    const isLarge =
      there?.kind === "file" && Math.min(there.size, size) >= copyLimits.deltaBytesMin;
    return isLarge && this.#offset < size;
  }

  #start(offset: number): void {
    if (this.#started) throw new ProtocolError("A second start of one file");
    if (offset !== 0 && offset !== this.#offset)
      throw new ProtocolError("A start where none was wished");
    const isDifferent = this.#whole === "asked" && offset !== this.#offset;
    if (this.#whole === "asked") this.#whole = isDifferent ? "different" : "same";
    this.#started = !isDifferent;
    if (offset === 0) this.#check.begin(this.hasChunks || this.#wishes.showsDigests);
    if (offset === this.#offset) return;
    this.#offset = 0;
    if (this.#part !== undefined) ftruncateSync(this.#part.fd, 0);
  }

  #append(offset: number, bytes: Uint8Array): void {
    this.#mustGoOnAt(offset);
    const fd = this.#openPart();
    this.#check.came(bytes);
    this.#write(fd, bytes);
  }

  #write(fd: number, bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length;)
      at += writeSync(fd, bytes, at, bytes.length - at, this.#offset + at);
    this.#offset += bytes.length;
    this.#unsyncedBytes += bytes.length;
    if (this.#unsyncedBytes < copyLimits.syncEveryBytes) return;
    if (process.platform === "linux")
      startWriting(fd, this.#offset - this.#unsyncedBytes, this.#unsyncedBytes);
    this.#unsyncedBytes = 0;
  }

  #skip(offset: number, length: number): void {
    this.#mustGoOnAt(offset);
    const fd = this.#openPart();
    this.#check.skipped(length);
    this.#offset += length;
    ftruncateSync(fd, this.#offset);
  }

  #keep({ offset, baseOffset, length }: Extract<FileMessage, { type: "same" }>): void {
    this.#mustGoOnAt(offset);
    if (this.#baseFd === undefined) throw new ProtocolError("The same as a file that is not there");
    const isInPlace = this.#part === undefined && baseOffset === offset;
    const fd = isInPlace ? undefined : this.#openPart();
    for (const bytes of this.#ofBase(baseOffset, length)) {
      this.#check.found(bytes);
      // As long as it is the same as the old there is no new one.
      if (fd === undefined) this.#offset += bytes.length;
      else this.#write(fd, bytes);
    }
  }

  /** Each good until the next. */
  *#ofBase(baseOffset: number, length: number): Generator<Uint8Array, void, undefined> {
    const bytes = Buffer.allocUnsafe(Math.min(length, copyLimits.hashStepBytes));
    for (let at = 0; at < length;) {
      const wanted = Math.min(bytes.length, length - at);
      const count = readSync(this.#baseFd ?? -1, bytes, 0, wanted, baseOffset + at);
      if (count === 0) throw new CopyTrouble("changed", "the file there changed meanwhile");
      yield bytes.subarray(0, count);
      at += count;
    }
  }

  #mustGoOnAt(offset: number): void {
    if (offset !== this.#offset)
      throw new ProtocolError("Content that does not follow on the last");
  }

  /** What was the same so far is copied into it first. */
  #openPart(): number {
    if (this.#part !== undefined) return this.#part.fd;
    const stays = this.entry.size >= copyLimits.resumeBytesMin;
    const name = stays ? partName(this.#name) : momentName(this.#name);
    const first = this.#firstMode();
    const fd = stays ? this.#openLocked(name) : this.#folder.create(name, first);
    this.#part = { fd, name, stays, mode: stays ? undefined : createdMode(first) };
    if (stays) ftruncateSync(fd, 0);
    const length = this.#offset;
    if (length > 0) {
      this.#baseFd ??= this.#folder.open(this.#name);
      this.#offset = 0;
      for (const bytes of this.#ofBase(0, length)) this.#write(fd, bytes);
    }
    return fd;
  }

  #commit(fd: number): void {
    const { entry } = this;
    // Owner and mode of what is replaced stay, as if it had been written into.
    const there = this.#there?.kind === "file" ? this.#there : undefined;
    if (there !== undefined && process.geteuid?.() === 0) fchownSync(fd, there.uid, there.gid);
    const mode = newFileMode(entry, there, this.#wishes);
    if (mode !== this.#part?.mode) fchmodSync(fd, mode);
    if (this.#wishes.preserve) this.#folder.setFileTime(fd, timeOf(entry));
    if (this.#part?.stays === true) fdatasyncSync(fd);
    this.#folder.rename(this.#part?.name ?? this.#name, this.#name);
    closeSync(fd);
    this.#part = undefined;
  }

  /** Its own where nothing was there; what is replaced has its owner first, and to write takes setuid away. */
  #firstMode(): number {
    const isFree = this.#there === undefined && !this.#wishes.preserve;
    return isFree ? newFileMode(this.entry, undefined, this.#wishes) : ownersAlone;
  }

  /** The content is right as it is. */
  #touch(): void {
    if (!this.#wishes.preserve) return;
    const fd = this.#folder.open(this.#name);
    try {
      fchmodSync(fd, newFileMode(this.entry, undefined, this.#wishes));
      this.#folder.setFileTime(fd, timeOf(this.entry));
    } finally {
      closeSync(fd);
    }
  }

  #discardPart(): void {
    if (this.#part === undefined) return;
    this.#folder.remove(this.#part.name);
    closeSync(this.#part.fd);
    this.#part = undefined;
  }
}

interface Place {
  readonly folder: Folder;
  /** Made by this copy. */
  readonly isNew: boolean;
  readonly name: Uint8Array;
}

interface Part {
  readonly fd: number;
  readonly name: Uint8Array;
  readonly stays: boolean;
  /** Undefined where it may have been there. */
  readonly mode: number | undefined;
}

const ownersAlone = 0o600;
