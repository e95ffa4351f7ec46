import type { FlyMachine } from "../../fly/machine-shape.ts";
import { isUnfinished } from "./begun-tenant.ts";
import { tenantOf } from "./tenant-id.ts";

/** One tenant and its machines, as lists show it. */
export interface TenantSummary {
  readonly tenant: string;
  readonly machines: readonly FlyMachine[];
  readonly started: number;
  readonly stopped: number;
  readonly other: number;
  /** Made by a `tenant create` that has not ended. */
  readonly unfinished: number;
  readonly regions: readonly string[];
  readonly image: string;
  readonly lastUpdatedAt: string | null;
}

export function summarise(machines: readonly FlyMachine[]): TenantSummary[] {
  const tenants = Map.groupBy(machines, tenantOf);
  return [...tenants]
    .map(([tenant, own]) => summary(tenant, own))
    .toSorted((a, b) => (a.tenant < b.tenant ? -1 : 1));
}

function summary(tenant: string, machines: readonly FlyMachine[]): TenantSummary {
  const inState = (state: string): number =>
    machines.filter((machine) => machine.state === state).length;
  const started = inState("started");
  const stopped = inState("stopped");
  const regions = new Set(machines.map((machine) => machine.region ?? "").filter((each) => each));
  const updates = machines.map((machine) => machine.updated_at ?? "").toSorted();
  return {
    tenant,
    machines,
    started,
    stopped,
    other: machines.length - started - stopped,
    unfinished: machines.filter(isUnfinished).length,
    regions: [...regions].toSorted(),
    image: commonImage(machines),
    lastUpdatedAt: updates.at(-1) === "" ? null : (updates.at(-1) ?? null),
  };
}

/** The digest where Fly tells it, else the name that was configured. */
export function imageOf(machine: FlyMachine): string {
  const config = machine.config ?? machine.incomplete_config;
  return machine.image_ref?.digest ?? config?.image ?? "unknown";
}

function commonImage(machines: readonly FlyMachine[]): string {
  const images = new Set(machines.map(imageOf));
  const [only = "unknown"] = images;
  return images.size > 1 ? `drift(${images.size})` : only;
}

export function volumeIds(machine: FlyMachine): string[] {
  const mounts = (machine.config ?? machine.incomplete_config)?.mounts ?? [];
  return mounts.map((mount) => mount.volume ?? "").filter((id) => id !== "");
}
