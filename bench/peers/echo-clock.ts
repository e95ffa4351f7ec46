/** When letters were typed and seen, however many are under way. Each differs from its neighbours. */
export class EchoClock {
  readonly delaysMs: number[] = [];
  readonly #typed: { readonly letter: string; readonly atMs: number }[] = [];
  #count = 0;

  /** The next letter, typed now. */
  type(nowMs: number): string {
    const letter = String.fromCodePoint(97 + (this.#count++ % 26));
    this.#typed.push({ letter, atMs: nowMs });
    return letter;
  }

  /** Whatever else there is in the text is passed over. */
  seen(text: string, nowMs: number): void {
    for (const letter of text) {
      const [next] = this.#typed;
      if (next?.letter !== letter) continue;
      this.#typed.shift();
      this.delaysMs.push(nowMs - next.atMs);
    }
  }

  get waiting(): number {
    return this.#typed.length;
  }
}
