import { brokerLimits } from "./broker-limits.ts";
import { dropCauses } from "../decision.ts";
import type { MetricsPage } from "./metrics-page.ts";
import { type MetricName, reportedMetric } from "./proxy-metrics.ts";
import { loopDropCauses } from "../relay-counters.ts";

type Numbers = Readonly<Record<string, number>>;

/**
 * What one of our processes reports of itself. Only names that the table gives to it count: others,
 * and numbers that are none, are left out.
 */
export class ReportedMetrics {
  readonly #from: "relay" | "web";
  /** Of all processes that ended. */
  readonly #countersBefore = new Map<MetricName, number>();
  readonly #dropsBefore = new Map<string, number>();
  #counters = new Map<MetricName, number>();
  #drops = new Map<string, number>();
  #gauges = new Map<MetricName, number>();

  constructor(from: "relay" | "web") {
    this.#from = from;
  }

  receive(report: {
    readonly counters: Numbers;
    readonly gauges: Numbers;
    readonly drops?: Numbers;
  }): void {
    this.#counters = this.#named(report.counters, "counter");
    this.#gauges = this.#named(report.gauges, "gauge");
    this.#drops = new Map(usable(report.drops ?? {}).filter(([cause]) => causes.has(cause)));
  }

  /** The process is gone: what it counted stays, its gauges are nought. */
  ended(): void {
    addUp(this.#countersBefore, this.#counters);
    addUp(this.#dropsBefore, this.#drops);
    this.#counters = new Map();
    this.#drops = new Map();
    for (const name of this.#gauges.keys()) this.#gauges.set(name, 0);
  }

  addTo(page: MetricsPage): void {
    for (const [name, value] of addUp(new Map(this.#countersBefore), this.#counters))
      page.add(name, value);
    for (const [name, value] of this.#gauges) page.add(name, value);
    for (const [cause, value] of addUp(new Map(this.#dropsBefore), this.#drops))
      page.add("datagrams_dropped_total", value, { cause });
  }

  #named(numbers: Numbers, type: "counter" | "gauge"): Map<MetricName, number> {
    return new Map(
      usable(numbers).flatMap(([reported, value]) => {
        const name = reportedMetric(this.#from, type, reported);
        return name === undefined ? [] : [[name, value] as const];
      }),
    );
  }
}

/** What is remembered of relays that ended must not grow by names that they make up. */
const causes: ReadonlySet<string> = new Set([...dropCauses, ...loopDropCauses]);

function usable(numbers: Numbers): [string, number][] {
  const entries = Object.entries(numbers).slice(0, brokerLimits.reportedNamesMax);
  return entries.filter(([, value]) => Number.isFinite(value) && value >= 0);
}

function addUp<Name>(sums: Map<Name, number>, more: ReadonlyMap<Name, number>): Map<Name, number> {
  for (const [name, value] of more) sums.set(name, (sums.get(name) ?? 0) + value);
  return sums;
}
