import { localLimits } from "./limits.ts";

/** One call of the API, as it was answered. Times are milliseconds since 1970. */
export interface CallRow {
  readonly atMs: number;
  readonly method: string;
  /** The route with its `{names}`, and what stood in their place. */
  readonly route: string;
  readonly params: Readonly<Record<string, string>>;
  readonly status: number;
  /** The kind of the fault that struck. */
  readonly fault?: string;
}

/** The last calls, oldest first, for tests that ask in which order and how often something was called. */
export class CallLog {
  #rows: CallRow[] = [];

  get rows(): readonly CallRow[] {
    return this.#rows;
  }

  add(row: CallRow): void {
    this.#rows.push(row);
    // Half at a time: taking the first of a long list away moves all others.
    if (this.#rows.length > localLimits.callsRemembered)
      this.#rows = this.#rows.slice(-localLimits.callsRemembered / 2);
  }

  clear(): void {
    this.#rows = [];
  }
}
