import { jsonResult } from "../../../cli/json-document.ts";
import type { Context } from "../../../cli/context.ts";
import { counted } from "../../../cli/counted.ts";
import { formatDuration } from "../../../cli/duration.ts";
import { printable } from "../../../cli/printable.ts";
import { Progress } from "../../../cli/progress.ts";
import { formatSize } from "../../../cli/size.ts";
import type { FileOutcome, FileTrouble } from "../../../protocol/file-message.ts";
import { clientLimits } from "../limits.ts";
import type { CopyEvents } from "./cp-run.ts";

export interface CopyTrouble {
  readonly path: string;
  readonly code: FileTrouble;
  readonly message: string;
}

export interface ReportOptions {
  readonly title: string;
  readonly quiet: boolean;
  readonly json: boolean;
  /** Each name on stdout: what would be done. */
  readonly dryRun: boolean;
  /** What was broken off stays and is gone on with: not what went to standard output. */
  readonly resumes: boolean;
}

/** What a copy says while it goes on, and what it was in the end. */
export class CopyReport implements CopyEvents {
  readonly #context: Context;
  readonly #options: ReportOptions;
  readonly #progress: Progress;
  readonly troubles: CopyTrouble[] = [];
  troubleCount = 0;
  #totals = { files: 0, bytes: 0 };
  #outcomes: Record<FileOutcome, number> = { written: 0, same: 0, kept: 0, skipped: 0 };
  #doneBytes = 0;
  #sentBytes = 0;
  #resentBytes = 0;
  /** What was there before we began, of which we say no rate. */
  #foundBytes = 0;
  #file = { path: "", size: 0, offset: 0 };
  #sha256: Uint8Array | undefined;
  #output: Promise<void> = Promise.resolve();

  constructor(context: Context, options: ReportOptions) {
    this.#context = context;
    this.#options = options;
    const quiet = options.quiet || options.json;
    this.#progress = new Progress(context, options.title, { quiet });
  }

  total(files: number, bytes: number): void {
    this.#totals = { files, bytes };
    this.#event({ type: "total", files, bytes });
  }

  began(path: string, size: number, offset: number): void {
    // All of it may be there, which is no resuming.
    const isResumed = offset > 0 && offset < size;
    if (path === this.#file.path) this.#resentBytes += Math.max(0, this.#file.offset - offset);
    else if (isResumed)
      this.#progress.step(() => `${this.#label(path)}  resuming at ${formatSize(offset)}`);
    if (isResumed) this.#event({ type: "resuming", path, offset_bytes: offset });
    this.#foundBytes += offset;
    this.#file = { path, size, offset };
    this.#doneBytes += offset;
    this.#update();
  }

  advanced(bytes: number, sentBytes: number): void {
    this.#file.offset += bytes;
    this.#doneBytes += bytes;
    this.#sentBytes += sentBytes;
    this.#update();
  }

  settled(path: string, size: number, outcome: FileOutcome, sha256: Uint8Array | undefined): void {
    this.#outcomes[outcome] += 1;
    // Nothing of it was on the way.
    if (sha256 === undefined) {
      this.#doneBytes += size;
      this.#foundBytes += size;
    }
    if (sha256 !== undefined) this.#sha256 = sha256;
    if (this.#options.json) {
      const digest = sha256 === undefined ? {} : { sha256: hexOf(sha256) };
      this.#event({ type: "file", path, size_bytes: size, outcome, ...digest });
    }
    if (this.#options.dryRun && !this.#options.json)
      this.#say(`${dryWords[outcome]} ${printable(path)}\n`);
    this.#update();
  }

  failed(path: string, code: FileTrouble, message: string): void {
    this.troubleCount += 1;
    if (this.troubles.length < clientLimits.copyTroublesMax)
      this.troubles.push({ path, code, message: printable(message) });
    this.#event({ type: "failed", path, code, message: printable(message) });
  }

  again(): void {
    this.#outcomes = { written: 0, same: 0, kept: 0, skipped: 0 };
    this.#doneBytes = 0;
    this.#foundBytes = 0;
    // Whatever is still wrong is met again.
    this.troubles.length = 0;
    this.troubleCount = 0;
    this.#progress.step(() => "the link is back, going on");
  }

  async stopped(): Promise<void> {
    await this.abandon();
    const { quiet, json, dryRun, resumes } = this.#options;
    if (quiet || json || dryRun) return;
    const more = resumes ? "; the same command goes on from there" : "";
    await this.#context.stderr.write(`stopped at ${formatSize(this.#doneBytes)}${more}\n`);
  }

  /** The last line. */
  async finish(): Promise<void> {
    const { elapsedMs } = this.#progress;
    if (this.#options.json) this.#say(jsonResult("cp", this.#result(elapsedMs)));
    await this.#output;
    if (this.#options.dryRun) await this.#progress.abandon();
    else await this.#progress.end(this.#summary(elapsedMs));
  }

  async abandon(): Promise<void> {
    await this.#progress.abandon();
    await this.#output;
  }

  /** What the user has now, whether it came just now or not. */
  get copiedCount(): number {
    return this.#doneFiles;
  }

  get #doneFiles(): number {
    const { written, same, kept } = this.#outcomes;
    return written + same + kept;
  }

  #result(elapsedMs: number): Readonly<Record<string, unknown>> {
    const { written, same, kept } = this.#outcomes;
    return {
      files: this.#doneFiles,
      written,
      same,
      kept,
      failed: this.troubleCount,
      bytes: this.#doneBytes,
      sent_bytes: this.#sentBytes,
      resent_bytes: this.#resentBytes,
      elapsed_ms: Math.round(elapsedMs),
      ...(this.#totals.files === 1 && this.#sha256 !== undefined
        ? { sha256: hexOf(this.#sha256) }
        : {}),
    };
  }

  #summary(elapsedMs: number): string {
    const { same, kept } = this.#outcomes;
    const parts = [`${formatSize(this.#doneBytes)} in ${formatDuration(elapsedMs)}`];
    if (this.#totals.files === 1 && this.#sha256 !== undefined)
      parts.push(`sha256 ${hexOf(this.#sha256)}`);
    else parts.unshift(counted(this.#doneFiles, "file"));
    if (same > 0) parts.push(`${same} as they were`);
    if (kept > 0) parts.push(`${kept} kept`);
    if (this.troubleCount > 0) parts.push(`${this.troubleCount} failed`);
    if (this.#sentBytes < this.#doneBytes) parts.push(`${formatSize(this.#sentBytes)} sent`);
    parts.push(`${formatSize(this.#resentBytes)} resent`);
    return parts.join(", ");
  }

  #update(): void {
    this.#progress.update(() => this.#line());
  }

  #line(): string {
    const total = Math.max(this.#totals.bytes, this.#doneBytes);
    const done = this.#doneBytes;
    const parts = [this.#label(this.#file.path), `${formatSize(done)} of ${formatSize(total)}`];
    if (total > 0) parts.push(`${Math.floor((done / total) * 100)}%`);
    const perMs = Math.max(0, done - this.#foundBytes) / Math.max(1, this.#progress.elapsedMs);
    if (perMs > 0)
      parts.push(`${formatSize(perMs * 1000)}/s`, `${formatDuration((total - done) / perMs)} left`);
    return parts.join("  ");
  }

  /** Many files are a number, one is its name. */
  #label(path: string): string {
    const { files } = this.#totals;
    if (files > 1) return `${this.#doneFiles} of ${counted(files, "file")}`;
    return printable(path.slice(path.lastIndexOf("/") + 1));
  }

  #event(event: Readonly<Record<string, unknown>>): void {
    if (this.#options.json) this.#say(`${JSON.stringify(event)}\n`);
  }

  #say(line: string): void {
    this.#output = this.#output.then(() => this.#context.stdout.write(line));
    // Met by whoever waits for it at the end.
    this.#output.catch(() => undefined);
  }
}

const dryWords: Readonly<Record<FileOutcome, string>> = {
  written: "copy",
  same: "same",
  kept: "keep",
  skipped: "skip",
};

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
