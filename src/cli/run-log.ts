import { closeSync, openSync, writeSync } from "node:fs";
import { Failure } from "./failure.ts";
import { Redactor } from "./redactor.ts";

export type NoteFields = Readonly<Record<string, string | number | boolean | undefined>>;

/**
 * What one run did, as lines of JSON in the file of `--log-file`: for whoever looks for a fault later.
 * No words of the command line are in it, and whatever is secret is taken out first.
 */
export interface RunLog {
  note(event: string, fields?: NoteFields): void;
  /** Never written from here on. */
  hide(secret: string): void;
  close(): void;
}

/** Adds to the file, which is made for its owner alone. Throws `Failure`. */
export function openRunLog(path: string, { wallMs }: { readonly wallMs: () => number }): RunLog {
  const redactor = new Redactor();
  const fd = openFile(path);
  return {
    note: (event, fields = {}) => {
      const at = new Date(wallMs()).toISOString();
      const line = JSON.stringify({ at, pid: process.pid, event, ...fields });
      try {
        writeSync(fd, `${redactor.clean(line)}\n`);
      } catch {
        // A full disk must not end what the log is about.
      }
    },
    hide: (secret) => {
      redactor.add(secret);
      // As a line of JSON has it.
      redactor.add(JSON.stringify(secret).slice(1, -1));
    },
    close: () => closeSync(fd),
  };
}

function openFile(path: string): number {
  try {
    return openSync(path, "a", 0o600);
  } catch (error) {
    const because = error instanceof Error && "code" in error ? String(error.code) : undefined;
    throw new Failure("FV-SYS-001", `the log file "${path}" cannot be written`, {
      ...(because === undefined ? {} : { because }),
      fix: "name another one (--log-file, FLY_VAULT_LOG_FILE)",
    });
  }
}
