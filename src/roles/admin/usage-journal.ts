import { constants } from "node:fs";
import { mkdir, open } from "node:fs/promises";
import { dirname } from "node:path";
import { Failure } from "../../cli/failure.ts";
import { PrivateFileError, readPrivateFile } from "../../system/private-file.ts";
import { UsageHistory } from "./usage-history.ts";
import { usageLimits } from "./usage-limits.ts";
import { decodeRecord, encodeRecord, journalVersion, type UsageRecord } from "./usage-record.ts";
import type { UsageSnapshot } from "./usage-snapshot.ts";

/**
 * A file of what was seen of an app's machines, only ever added to. Several programs may write it at
 * once, and any of them may be killed: a line that is cut short is skipped, one that is there twice
 * counts once.
 */
export class UsageJournal {
  readonly #path: string;
  /** The only one whose machines are looked at; undefined: all. */
  readonly tenant: string | undefined;
  readonly #history: UsageHistory;
  /** As far as we know; others may have written more. */
  #bytes = 0;
  /** Not on disk yet: a write that failed is made again with the next. */
  #unwritten = "";
  /** One write after the other. */
  #writing: Promise<unknown> = Promise.resolve();

  /** Makes the file where there is none. Rejects with `Failure`. */
  static async open(
    path: string,
    options: { readonly app: string; readonly tenant: string | undefined },
  ): Promise<UsageJournal> {
    return withFailures(path, async () => {
      const bytes = await readPrivateFile(path, usageLimits.journalBytesMax);
      const text = new TextDecoder().decode(bytes ?? new Uint8Array());
      const history = new UsageHistory();
      const records = text.split("\n").flatMap((line) => decodeRecord(line) ?? []);
      checkOwner(path, records, options.app);
      for (const record of records) history.apply(record);
      const journal = new UsageJournal(path, options.tenant, history);
      journal.#bytes = bytes?.length ?? 0;
      // Ends a line that somebody was killed in.
      const start = text === "" || text.endsWith("\n") ? "" : "\n";
      const owner = { kind: "app", version: journalVersion, app: options.app } as const;
      const isNew = !records.some(({ kind }) => kind === "app");
      await journal.#append(start + (isNew ? encodeRecord(owner) : ""));
      return journal;
    });
  }

  private constructor(path: string, tenant: string | undefined, history: UsageHistory) {
    this.#path = path;
    this.tenant = tenant;
    this.#history = history;
  }

  get history(): UsageHistory {
    return this.#history;
  }

  /** What is new in it, on disk when this resolves. Rejects with `Failure`; nothing is lost by that yet. */
  async observe(snapshot: UsageSnapshot): Promise<void> {
    // Fly has a machine's last events for us, and our own memory is not without end.
    if (this.#unwritten.length > usageLimits.unwrittenBytesMax) await this.#write();
    const records = this.#history.observe(snapshot, this.tenant);
    this.#unwritten += records.map(encodeRecord).join("");
    await this.#write();
  }

  async #write(): Promise<void> {
    const turn = withFailures(this.#path, async () => {
      await this.#writing;
      await this.#flush();
    });
    this.#writing = Promise.allSettled([turn]);
    await turn;
  }

  async #flush(): Promise<void> {
    const lines = this.#unwritten;
    try {
      await this.#append(lines);
      this.#unwritten = this.#unwritten.slice(lines.length);
    } catch (error) {
      // Part of it may have been written, and a line that is cut short must end before the next.
      if (!this.#unwritten.startsWith("\n")) this.#unwritten = `\n${this.#unwritten}`;
      throw error;
    }
  }

  async #append(lines: string): Promise<void> {
    if (lines === "") return;
    const length = Buffer.byteLength(lines);
    // Longer, it could not be read again.
    if (this.#bytes + length > usageLimits.journalBytesMax)
      throw new PrivateFileError(`it is full, with ${this.#bytes} bytes`);
    await mkdir(dirname(this.#path), { recursive: true, mode: 0o700 });
    const flags = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT;
    const handle = await open(this.#path, flags | constants.O_NOFOLLOW, 0o600);
    try {
      await handle.appendFile(lines);
      await handle.sync();
      this.#bytes += length;
    } finally {
      await handle.close();
    }
  }
}

function checkOwner(path: string, records: readonly UsageRecord[], app: string): void {
  for (const record of records) {
    if (record.kind !== "app") continue;
    if (record.version > journalVersion)
      throw new Failure("FV-CLI-001", `the journal "${path}" is of a newer fly-vault-admin`, {
        because: `its version is ${record.version}, at most ${journalVersion} is known here`,
      });
    if (record.app !== app)
      throw new Failure("FV-CLI-001", `the journal "${path}" is of app "${record.app}"`, {
        because: `--app is "${app}"`,
        fix: "name another file with --journal",
      });
  }
}

async function withFailures<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof Failure || !(error instanceof Error)) throw error;
    const fix = "move it away to begin a new one, and keep it: the hours before are in it alone";
    throw new Failure("FV-CLI-001", `the journal "${path}" cannot be used`, {
      because: error.message,
      ...(error instanceof PrivateFileError ? { fix } : {}),
    });
  }
}
