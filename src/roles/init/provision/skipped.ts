import { provisionLimits } from "./limits.ts";

/** What was left out of an archive, by kind: "3 devices (dev/mem, …)". Bounded, whatever the archive holds. */
export class Skipped {
  readonly #kinds = new Map<string, { count: number; readonly first: string }>();

  add(kind: string, name: string): void {
    const known = this.#kinds.get(kind);
    if (known !== undefined) known.count++;
    else if (this.#kinds.size < provisionLimits.skippedKindsMax) {
      this.#kinds.set(kind, { count: 1, first: name });
    }
  }

  lines(): string[] {
    return [...this.#kinds].map(([kind, { count, first }]) => `${count} × ${kind}, first ${first}`);
  }
}
