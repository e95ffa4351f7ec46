import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { decodeJson, encodeJson, type Status, statusSchema } from "../../protocol/message.ts";
import type { Log } from "../../system/log.ts";

export type Rollback = NonNullable<Status["rolled_back"]>;

/**
 * That the machine went back by itself, on the volume, so that it is still told after a restart. A note
 * for people: one that cannot be read or written costs the machine nothing.
 */
export class RollbackNote {
  readonly #path: string;
  readonly #log: Log;

  constructor(dataDir: string, log: Log) {
    this.#path = join(dataDir, ".fly-vault", "rolled-back.json");
    this.#log = log;
  }

  read(): Rollback | undefined {
    try {
      return decodeJson(statusSchema.entries.rolled_back, readFileSync(this.#path), "Note");
    } catch {
      return undefined;
    }
  }

  write(rollback: Rollback): void {
    this.#try(() => {
      const temporary = `${this.#path}.tmp`;
      writeFileSync(temporary, encodeJson(rollback), { mode: 0o600 });
      renameSync(temporary, this.#path);
    });
  }

  remove(): void {
    this.#try(() => rmSync(this.#path, { force: true }));
  }

  #try(change: () => void): void {
    try {
      change();
    } catch (error) {
      this.#log("warn", "rollback-note", { message: String(error) });
    }
  }
}
