import type { UsageSnapshot } from "./usage-snapshot.ts";
import { usageVolumes } from "./usage-fact.ts";
import { guestOf } from "./usage-shape.ts";
import { tenantOf } from "./tenant-id.ts";

/** What Prometheus reads (text format 0.0.4). */
export function usageMetrics(
  snapshot: UsageSnapshot,
  reader: {
    readonly isStale: boolean;
    readonly loads: { readonly ok: number; readonly failed: number };
  },
): string {
  const page = new Page();
  for (const machine of snapshot.machines) {
    const tenant = tenantOf(machine);
    const labels = { tenant, state: machine.state, region: machine.region ?? "" };
    page.add("machines", labels, 1);
    if (machine.state === "destroyed") continue;
    page.add("memory_mebibytes", { tenant, state: machine.state }, guestOf(machine).memoryMib ?? 0);
    for (const volume of usageVolumes(machine, snapshot.volumeSizes))
      page.add("volume_gibibytes", { tenant }, volume.size_gib);
  }
  page.add("observed_timestamp_seconds", {}, snapshot.observedAtMs / 1_000);
  page.add("stale", {}, reader.isStale ? 1 : 0);
  page.add("reads_total", { outcome: "ok" }, reader.loads.ok);
  page.add("reads_total", { outcome: "failed" }, reader.loads.failed);
  return page.text();
}

const metrics = {
  machines: ["gauge", "Machines of a tenant, deleted ones for as long as Fly lists them."],
  memory_mebibytes: ["gauge", "Memory of the machines, running or not, as configured."],
  volume_gibibytes: ["gauge", "Size of the volumes that machines mount."],
  observed_timestamp_seconds: ["gauge", "When Fly told all this."],
  stale: ["gauge", "1 when Fly could not be asked again and this is old."],
  reads_total: ["counter", "How often Fly was asked, by outcome."],
} as const;

class Page {
  readonly #sums = new Map<keyof typeof metrics, Map<string, number>>();

  /** Adds up under the same name and labels. */
  add(name: keyof typeof metrics, labels: Readonly<Record<string, string>>, value: number): void {
    const sums = this.#sums.get(name) ?? new Map<string, number>();
    const pairs = Object.entries(labels).map(([label, text]) => `${label}="${escaped(text)}"`);
    const key = pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
    sums.set(key, (sums.get(key) ?? 0) + value);
    this.#sums.set(name, sums);
  }

  text(): string {
    return [...this.#sums]
      .map(([name, sums]) => {
        const [type, help] = metrics[name];
        const full = `${prefix}${name}`;
        const samples = [...sums].map(([labels, value]) => `${full}${labels} ${value}\n`);
        return `# HELP ${full} ${help}\n# TYPE ${full} ${type}\n${samples.join("")}`;
      })
      .join("");
  }
}

function escaped(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}

const prefix = "fly_vault_usage_";
