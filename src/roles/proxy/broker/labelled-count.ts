import type { MetricsPage } from "./metrics-page.ts";
import type { MetricName } from "./proxy-metrics.ts";

/** Counts by the values of a metric's labels. */
export class LabelledCount<Label extends string> {
  readonly #name: MetricName;
  readonly #labels: readonly Label[];
  readonly #counts = new Map<string, number>();

  /** What may happen is shown as 0 before it does. */
  constructor(name: MetricName, labels: readonly Label[], outcomes: readonly string[][] = []) {
    this.#name = name;
    this.#labels = labels;
    for (const values of outcomes) this.#counts.set(values.join("\n"), 0);
  }

  count(...values: readonly string[]): void {
    const key = values.join("\n");
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1);
  }

  addTo(page: MetricsPage): void {
    for (const [key, count] of this.#counts) {
      const values = key.split("\n");
      const labels = this.#labels.map((label, index) => [label, values[index] ?? ""] as const);
      page.add(this.#name, count, Object.fromEntries(labels));
    }
  }
}
