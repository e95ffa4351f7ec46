import { mkdir, open, readdir, unlink } from "node:fs/promises";
import { basename, join } from "node:path";
import { Failure } from "../../cli/failure.ts";
import { tryLock } from "../../system/file-lock.ts";
import { hasCode } from "../../system/filesystem.ts";
import { PrivateFileError, readPrivateFile } from "../../system/private-file.ts";
import { rolloutLimits } from "./rollout-limits.ts";
import {
  decodeJournal,
  encodeRecord,
  JournalDamaged,
  type JournalText,
  type PlanRecord,
  type StepRecord,
} from "./rollout-record.ts";

type FileHandle = Awaited<ReturnType<typeof open>>;

/** A file of records that only grows; each is on the disk before `append` resolves. */
export class RolloutJournal {
  readonly #handle: FileHandle;
  readonly #path: string;
  #bytes: number;

  private constructor(handle: FileHandle, path: string, bytes: number) {
    this.#handle = handle;
    this.#path = path;
    this.#bytes = bytes;
  }

  /** A new one, of the first id of that day that is free. */
  static async create(
    folder: string,
    day: string,
    planOf: (id: string) => PlanRecord,
  ): Promise<{ journal: RolloutJournal; plan: PlanRecord }> {
    for (let number = 1; number <= rolloutLimits.idAttemptsMax; number += 1) {
      const id = `r-${day}-${number}`;
      const handle = await openNew(pathOf(folder, id));
      if (handle === undefined) continue;
      const journal = new RolloutJournal(handle, pathOf(folder, id), 0);
      const plan = planOf(id);
      await journal.#orClose(async () => {
        await journal.#write(encodeRecord(plan));
        await syncFolder(folder);
      });
      return { journal, plan };
    }
    throw new Failure("FV-SYS-001", `there is no free name for a journal in ${folder}`);
  }

  /** One that was read, to go on with; what a crash left of its last line is cut off. */
  static async open(folder: string, { plan, bytes }: JournalText): Promise<RolloutJournal> {
    const path = pathOf(folder, plan.id);
    const handle = await orUnusable(path, async () => open(path, "r+"));
    const journal = new RolloutJournal(handle, path, bytes);
    await journal.#orClose(async () => handle.truncate(bytes));
    return journal;
  }

  async append(records: readonly StepRecord[]): Promise<void> {
    await this.#write(records.map(encodeRecord).join(""));
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }

  async #orClose(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  async #write(text: string): Promise<void> {
    const bytes = new TextEncoder().encode(text);
    if (this.#bytes + bytes.length > rolloutLimits.journalBytesMax)
      throw this.#failure(`it would be longer than ${rolloutLimits.journalBytesMax} bytes`);
    try {
      for (let done = 0; done < bytes.length;) {
        const at = this.#bytes + done;
        const { bytesWritten } = await this.#handle.write(bytes, done, bytes.length - done, at);
        done += bytesWritten;
      }
      await this.#handle.datasync();
    } catch (error) {
      throw this.#failure(error instanceof Error ? error.message : String(error));
    }
    this.#bytes += bytes.length;
  }

  #failure(because: string): Failure {
    return new Failure("FV-SYS-001", `the journal ${this.#path} cannot be written`, {
      because,
      fix: `make room, then:  fly-vault-admin tenant update-image --resume ${basename(this.#path, ".jsonl")}`,
    });
  }
}

/** The journal's text, or undefined where there is none. A damaged one is a `Failure`. */
export async function readJournal(folder: string, id: string): Promise<JournalText | undefined> {
  const path = pathOf(folder, id);
  try {
    const bytes = await readPrivateFile(path, rolloutLimits.journalBytesMax);
    return bytes && decodeJournal(bytes);
  } catch (error) {
    if (!(error instanceof JournalDamaged || error instanceof PrivateFileError))
      throw unusable(path, error);
    throw new Failure("FV-SYS-001", `the journal ${path} cannot be used`, {
      because: error.message,
      fix: "docs/rollout.md tells how to see to its machines by hand",
    });
  }
}

/** All ids, the oldest first. */
export async function journalIds(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch(() => []);
  return names
    .flatMap((name) => /^(r-\d{8}-\d{1,4})\.jsonl$/u.exec(name)?.[1] ?? [])
    .toSorted((a, b) => a.localeCompare(b, "en", { numeric: true }));
}

export async function removeJournal(folder: string, id: string): Promise<void> {
  await unlink(pathOf(folder, id)).catch(() => undefined);
}

/**
 * The folder of journals, locked for one app until the process ends: two rollouts of it would be in
 * each other's way. Undefined where another process has it.
 */
export async function lockApp(folder: string, app: string): Promise<FileHandle | undefined> {
  const path = join(folder, `${app}.lock`);
  const handle = await orUnusable(path, async () => {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    return open(path, "a", 0o600);
  });
  if (tryLock(handle.fd)) return handle;
  await handle.close();
  return undefined;
}

export function isRolloutId(text: string): boolean {
  return /^r-\d{8}-\d{1,4}$/u.test(text);
}

function pathOf(folder: string, id: string): string {
  return join(folder, `${id}.jsonl`);
}

async function openNew(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, "wx", 0o600);
  } catch (error) {
    if (hasCode(error, "EEXIST")) return undefined;
    throw unusable(path, error);
  }
}

async function orUnusable<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw unusable(path, error);
  }
}

function unusable(path: string, error: unknown): Failure {
  return new Failure("FV-SYS-001", `"${path}" cannot be read or written`, {
    because: error instanceof Error ? error.message : String(error),
    fix: "set FLY_VAULT_HOME to a folder that can; the journals of rollouts are kept there",
  });
}

async function syncFolder(path: string): Promise<void> {
  const handle = await open(path, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
