/** Lets something happen for each of many names, but not again within a time. */
export class Spacing<Name> {
  readonly #everyMs: number;
  readonly #namesMax: number;
  /** When it last happened, oldest first. */
  readonly #last = new Map<Name, number>();

  constructor(everyMs: number, namesMax: number) {
    this.#everyMs = everyMs;
    this.#namesMax = namesMax;
  }

  get size(): number {
    return this.#last.size;
  }

  /** Whether it happened within the time. */
  has(name: Name, nowMs: number): boolean {
    this.#expire(nowMs);
    return this.#last.has(name);
  }

  forget(name: Name): void {
    this.#last.delete(name);
  }

  /** Too many names at once are refused, too: none that is known is forgotten early. */
  allows(name: Name, nowMs: number): boolean {
    return !this.has(name, nowMs) && this.#last.size < this.#namesMax;
  }

  note(name: Name, nowMs: number): void {
    this.#last.set(name, nowMs);
  }

  take(name: Name, nowMs: number): boolean {
    if (!this.allows(name, nowMs)) return false;
    this.note(name, nowMs);
    return true;
  }

  #expire(nowMs: number): void {
    for (const [name, lastMs] of this.#last) {
      if (nowMs - lastMs < this.#everyMs) return;
      this.#last.delete(name);
    }
  }
}
