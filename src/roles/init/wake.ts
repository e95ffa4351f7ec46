/** "Something changed", for one waiter; a change while nobody waits is remembered. */
export class Wake {
  #changed = false;
  #resolve: (() => void) | undefined;

  notify(): void {
    if (this.#resolve === undefined) {
      this.#changed = true;
      return;
    }
    const resolve = this.#resolve;
    this.#resolve = undefined;
    resolve();
  }

  async wait(): Promise<void> {
    if (this.#changed) {
      this.#changed = false;
      return;
    }
    await new Promise<void>((resolve) => {
      this.#resolve = resolve;
    });
  }
}
