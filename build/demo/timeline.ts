/** Says what happens while it happens, and at the end what each step took. */
export class Timeline {
  readonly #rows: { readonly step: string; readonly ms: number; readonly note: string }[] = [];
  readonly #startedMs = performance.now();

  /** Runs one step; its result's `note` is printed beside the time. */
  async step<T>(name: string, run: () => Promise<T>, note: (result: T) => string): Promise<T> {
    const startedMs = performance.now();
    process.stdout.write(`\n== ${name}\n`);
    const result = await run();
    const ms = performance.now() - startedMs;
    const words = note(result);
    this.#rows.push({ step: name, ms, note: words });
    process.stdout.write(`   ${words}  (${seconds(ms)})\n`);
    return result;
  }

  print(): void {
    const width = Math.max(...this.#rows.map((row) => row.step.length));
    process.stdout.write(`\n${"STEP".padEnd(width)}      TIME  RESULT\n`);
    for (const row of this.#rows) {
      process.stdout.write(
        `${row.step.padEnd(width)}  ${seconds(row.ms).padStart(8)}  ${row.note}\n`,
      );
    }
    const total = seconds(performance.now() - this.#startedMs);
    process.stdout.write(`${"in all".padEnd(width)}  ${total.padStart(8)}\n`);
  }
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(2)} s`;
}
