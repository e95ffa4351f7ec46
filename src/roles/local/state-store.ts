import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as v from "valibot";
import { Failure } from "../../cli/failure.ts";
import type { Log } from "../../system/log.ts";
import { numericId } from "./identifier.ts";
import { stateRecord, type StateRecord } from "./record.ts";

/**
 * `state.json`, whole at every moment: written aside and renamed. Written at once and without
 * waiting, because a process that was started and not written down could never be found again.
 */
export class StateStore {
  readonly dir: string;
  readonly state: StateRecord;
  readonly #log: Log;
  readonly #lazyMs: number;
  #unsaved = false;
  #timer: NodeJS.Timeout | undefined;

  private constructor(
    dir: string,
    state: StateRecord,
    options: { readonly log: Log; readonly lazyMs?: number },
  ) {
    this.dir = dir;
    this.state = state;
    this.#log = options.log;
    this.#lazyMs = options.lazyMs ?? 0;
  }

  /** With `lazyMs`, what happens within such a time is written together. */
  static open(
    dir: string,
    orgSlug: string,
    options: { readonly log: Log; readonly lazyMs?: number },
  ): StateStore {
    const text = readIfThere(join(dir, "state.json"));
    const state = text === undefined ? emptyState(orgSlug) : parseState(text, dir);
    if (state.org.slug !== orgSlug) {
      throw new Failure("FV-CLI-001", `this state belongs to organisation "${state.org.slug}"`, {
        because: `--org says "${orgSlug}", ${join(dir, "state.json")} says otherwise`,
        fix: `pass --org ${state.org.slug}, or another --state-dir`,
      });
    }
    return new StateStore(dir, state, options);
  }

  /**
   * A full disk must not bring down the machines: the last good state stays, and the next save, which
   * `retryUnsaved` sees to, brings it up to date.
   */
  save(): void {
    if (this.#lazyMs === 0) this.saveNow();
    else this.#timer ??= setTimeout(() => this.saveNow(), this.#lazyMs).unref();
  }

  saveNow(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    try {
      writePrivate(join(this.dir, "state.json"), `${JSON.stringify(this.state, undefined, 1)}\n`);
      this.#unsaved = false;
    } catch (error) {
      this.#unsaved = true;
      const words = error instanceof Error ? error.message : String(error);
      this.#log("error", "state-not-saved", { error: words });
    }
  }

  retryUnsaved(): void {
    if (this.#unsaved) this.save();
  }

  machineDir(machineId: string): string {
    return join(this.dir, "machines", machineId);
  }

  volumeDir(volumeId: string): string {
    return join(this.dir, "volumes", volumeId);
  }
}

export function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
}

/** For secrets: the owner alone, and never half a file. */
export function writePrivate(path: string, text: string): void {
  const next = `${path}.next`;
  writeFileSync(next, text, { mode: 0o600 });
  renameSync(next, path);
}

function emptyState(orgSlug: string): StateRecord {
  return {
    version: 1,
    org: { slug: orgSlug, id: numericId() },
    apps: [],
    machines: [],
    volumes: [],
  };
}

function parseState(text: string, dir: string): StateRecord {
  let problem: string;
  try {
    const result = v.safeParse(stateRecord, JSON.parse(text));
    if (result.success) return result.output;
    const [issue] = result.issues;
    problem = `${v.getDotPath(issue) ?? "the document"}: ${issue.message}`;
  } catch (error) {
    problem = error instanceof Error ? error.message : String(error);
  }
  throw new Failure("FV-SYS-001", `${join(dir, "state.json")} cannot be understood`, {
    because: problem,
    fix: "repair or move the file away; machines that still run are then not found again",
  });
}
