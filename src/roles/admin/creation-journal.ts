import { createHash } from "node:crypto";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import * as v from "valibot";
import type { Context } from "../../cli/context.ts";
import { Failure } from "../../cli/failure.ts";
import { stateDirectory } from "../../cli/paths.ts";
import { PrivateFileError, readPrivateFile, writePrivateFile } from "../../system/private-file.ts";

/**
 * What this computer remembers of a tenant that is being made, so that a run that was killed can be
 * gone on with. Volumes carry no metadata: nothing but this tells one that such a run made from one
 * that has been there for long. It holds no secret.
 */
const recordShape = v.object({
  version: v.literal(1),
  run_id: v.pipe(v.string(), v.regex(/^[0-9a-f]{16}$/u)),
  begun_at_ms: v.number(),
  /** Volumes that were there before. */
  volumes_before: v.array(v.string()),
  /** Volumes that Fly said it made; one that was asked for last may be there, too. */
  volumes_made: v.array(v.string()),
  /** The call that was under way: "machine 1", "volume data". */
  asked: v.nullable(v.string()),
});

type JournalRecord = v.InferOutput<typeof recordShape>;

export class CreationJournal {
  readonly #path: string;
  readonly #wallMs: () => number;
  #record: JournalRecord | undefined;

  private constructor(path: string, wallMs: () => number, record: JournalRecord | undefined) {
    this.#path = path;
    this.#wallMs = wallMs;
    this.#record = record;
  }

  /** An old record is none: who knows what has become of its volumes since. */
  static async open(
    context: Context,
    about: { readonly base: string; readonly app: string; readonly tenant: string },
  ): Promise<CreationJournal> {
    const { base, app, tenant } = about;
    const hash = createHash("sha256").update(`${base}\n${app}\n${tenant}`).digest("hex");
    const name = `${app}-${tenant}-${hash.slice(0, 8)}.json`;
    const path = join(stateDirectory(context.env), "admin", "creations", name);
    const record = await readRecord(path);
    const ageMs = context.wallMs() - (record?.begun_at_ms ?? 0);
    const isFresh = ageMs > -ageMsMax && ageMs < ageMsMax;
    return new CreationJournal(path, context.wallMs, isFresh ? record : undefined);
  }

  /** Of a run that did not come to its end. */
  get runId(): string | undefined {
    return this.#record?.run_id;
  }

  get volumesBefore(): ReadonlySet<string> | undefined {
    return this.#record === undefined ? undefined : new Set(this.#record.volumes_before);
  }

  get volumesMade(): ReadonlySet<string> {
    return new Set(this.#record?.volumes_made);
  }

  /** What was asked for when the last run ended, if nobody knows what came of it. */
  get asked(): string | undefined {
    return this.#record?.asked ?? undefined;
  }

  /** Before anything is made. A run that is gone on with keeps what it knew. */
  async begin(runId: string, volumesBefore: readonly string[]): Promise<void> {
    if (this.#record !== undefined) return;
    await this.#write({
      version: 1,
      run_id: runId,
      begun_at_ms: this.#wallMs(),
      volumes_before: [...volumesBefore],
      volumes_made: [],
      asked: null,
    });
  }

  async ask(what: string): Promise<void> {
    if (this.#record !== undefined) await this.#write({ ...this.#record, asked: what });
  }

  /** `volume` is the one that was made. */
  async answered(volume?: string): Promise<void> {
    if (this.#record === undefined) return;
    const made = [...this.#record.volumes_made, ...(volume === undefined ? [] : [volume])];
    await this.#write({ ...this.#record, volumes_made: made, asked: null });
  }

  /** Nothing is left to go on with. */
  async close(): Promise<void> {
    this.#record = undefined;
    try {
      await rm(this.#path, { force: true });
    } catch (error) {
      throw unusable(this.#path, error);
    }
  }

  async #write(record: JournalRecord): Promise<void> {
    try {
      await writePrivateFile(this.#path, new TextEncoder().encode(`${JSON.stringify(record)}\n`));
    } catch (error) {
      throw unusable(this.#path, error);
    }
    this.#record = record;
  }
}

/** What cannot be read is no record; volumes are then claimed by nobody. */
async function readRecord(path: string): Promise<JournalRecord | undefined> {
  try {
    const bytes = await readPrivateFile(path, journalBytesMax);
    const json: unknown = bytes && JSON.parse(new TextDecoder().decode(bytes));
    return v.is(recordShape, json) ? json : undefined;
  } catch (error) {
    if (error instanceof PrivateFileError || error instanceof SyntaxError) return undefined;
    throw unusable(path, error);
  }
}

function unusable(path: string, error: unknown): Failure {
  return new Failure("FV-SYS-001", `"${path}" cannot be read or written`, {
    because: error instanceof Error ? error.message : String(error),
    fix: "set FLY_VAULT_HOME to a folder that can; what is being made is noted there",
  });
}

const ageMsMax = 86_400_000;
/** A hundred thousand volumes. */
const journalBytesMax = 4 << 20;
