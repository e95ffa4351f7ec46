import { brokerLimits } from "./broker-limits.ts";
import type { MetricsPage } from "./metrics-page.ts";
import { isMetricName, metricOf } from "./proxy-metrics.ts";

type Numbers = Readonly<Record<string, number>>;

/**
 * What one of our processes reports of itself. Only names that the table gives to it count: others,
 * and numbers that are none, are left out.
 */
export class ReportedMetrics {
  readonly #from: "relay" | "web";
  /** Of all processes that ended. */
  readonly #before = new Map<string, number>();
  #counters = new Map<string, number>();
  #drops = new Map<string, number>();
  readonly #dropsBefore = new Map<string, number>();
  #gauges = new Map<string, number>();

  constructor(from: "relay" | "web") {
    this.#from = from;
  }

  receive(report: {
    readonly counters: Numbers;
    readonly gauges: Numbers;
    readonly drops?: Numbers;
  }): void {
    this.#counters = this.#known(report.counters, "counter");
    this.#gauges = this.#known(report.gauges, "gauge");
    this.#drops = finite(report.drops ?? {}, (cause) => /^[a-z-]{1,40}$/.test(cause));
  }

  /** The process is gone: what it counted stays, its gauges are nought. */
  ended(): void {
    addUp(this.#before, this.#counters);
    addUp(this.#dropsBefore, this.#drops);
    this.#counters = new Map();
    this.#drops = new Map();
    for (const name of this.#gauges.keys()) this.#gauges.set(name, 0);
  }

  addTo(page: MetricsPage): void {
    const counters = addUp(new Map(this.#before), this.#counters);
    for (const [name, value] of [...counters, ...this.#gauges])
      if (isMetricName(name)) page.add(name, value);
    for (const [cause, value] of addUp(new Map(this.#dropsBefore), this.#drops))
      page.add("drops_total", value, { cause });
  }

  #known(numbers: Numbers, type: "counter" | "gauge"): Map<string, number> {
    return finite(numbers, (name) => {
      const metric = metricOf(name);
      return metric?.from === this.#from && metric.type === type;
    });
  }
}

function finite(numbers: Numbers, isWanted: (name: string) => boolean): Map<string, number> {
  const entries = Object.entries(numbers).slice(0, brokerLimits.reportedNamesMax);
  return new Map(
    entries.filter(([name, value]) => Number.isFinite(value) && value >= 0 && isWanted(name)),
  );
}

function addUp(sums: Map<string, number>, more: ReadonlyMap<string, number>): Map<string, number> {
  for (const [name, value] of more) sums.set(name, (sums.get(name) ?? 0) + value);
  return sums;
}
