import { type MetricName, metricOf, proxyMetrics } from "./proxy-metrics.ts";

/** The text that Prometheus reads, of whatever was added, in the order of the table. */
export class MetricsPage {
  readonly #samples = new Map<MetricName, string[]>();

  add(name: MetricName, value: number, labels: Readonly<Record<string, string>> = {}): void {
    const pairs = Object.entries(labels).map(([label, text]) => `${label}="${escaped(text)}"`);
    const braces = pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
    const samples = this.#samples.get(name) ?? [];
    samples.push(`${prefix}${name}${braces} ${value}`);
    this.#samples.set(name, samples);
  }

  text(): string {
    const lines: string[] = [];
    for (const name of Object.keys(proxyMetrics) as MetricName[]) {
      const samples = this.#samples.get(name);
      if (samples === undefined) continue;
      const { help, type } = metricOf(name);
      lines.push(`# HELP ${prefix}${name} ${help}`, `# TYPE ${prefix}${name} ${type}`, ...samples);
    }
    return `${lines.join("\n")}\n`;
  }
}

function escaped(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}

const prefix = "vault_proxy_";
