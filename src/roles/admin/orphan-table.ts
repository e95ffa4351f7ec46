import { counted } from "../../cli/counted.ts";
import { formatDuration } from "../../cli/duration.ts";
import { renderTable } from "../../cli/table.ts";
import type { Orphan, OrphanKind } from "./orphan-finding.ts";

/** For people: what it is, how old, and how many GiB are paid for each month. */
export function renderOrphans(orphans: readonly Orphan[], nowMs: number): string {
  const table = renderTable(
    ["KIND", "ID", "NAME", "TENANT", "AGE", "GIB/MONTH", "NOTE"],
    orphans.map((orphan) => [
      orphan.what,
      orphan.id,
      orphan.name ?? "-",
      orphan.tenant ?? "-",
      orphan.sinceMs === undefined ? "-" : ageText(nowMs - orphan.sinceMs),
      orphan.gib === undefined ? "-" : String(orphan.gib),
      noteOf(orphan, nowMs),
    ]),
  );
  return `${table}\n${total(orphans)}\n`;
}

export function orphanJson(orphan: Orphan, nowMs: number): Record<string, unknown> {
  const { sinceMs, untilMs } = orphan;
  return {
    kind: orphan.kind,
    id: orphan.id,
    name: orphan.name ?? null,
    tenant_id: orphan.tenant ?? null,
    machine_id: orphan.machineId ?? null,
    created_at: sinceMs === undefined ? null : new Date(sinceMs).toISOString(),
    age_ms: sinceMs === undefined ? null : Math.max(0, nowMs - sinceMs),
    monthly_gib: orphan.gib ?? null,
    leased_until: untilMs === undefined ? null : new Date(untilMs).toISOString(),
    is_deletable: orphan.isDeletable && !orphan.isYoung,
  };
}

/** `2 machines and 3 volumes (60 GiB)` */
export function countWords(orphans: readonly Orphan[]): string {
  const count = (what: Orphan["what"]): number =>
    new Set(orphans.filter((orphan) => orphan.what === what).map(({ id }) => id)).size;
  const words = (["machine", "volume"] as const)
    .map((what) => [count(what), what] as const)
    .filter(([number]) => number > 0)
    .map(([number, what]) => counted(number, what));
  const gib = gibOf(orphans);
  return `${words.join(" and ")}${gib === 0 ? "" : ` (${gib} GiB)`}`;
}

function total(orphans: readonly Orphan[]): string {
  const words = countWords(orphans);
  return `${words === "" ? "nothing with a size" : words}; ${gibOf(orphans)} GiB are paid for each month`;
}

function gibOf(orphans: readonly Orphan[]): number {
  const volumes = orphans.filter(({ what }) => what === "volume");
  return volumes.reduce((sum, { gib = 0 }) => sum + gib, 0);
}

function noteOf(orphan: Orphan, nowMs: number): string {
  const { kind, untilMs, machineId, isYoung, isDeletable } = orphan;
  const words = notes[kind];
  if (kind === "machine-leased")
    return `${words} for another ${formatDuration((untilMs ?? nowMs) - nowMs)}`;
  const where = machineId === undefined ? "" : ` ${machineId}`;
  return `${words}${where}${isYoung && isDeletable ? "; young, may be in the making" : ""}`;
}

function ageText(ms: number): string {
  const days = Math.floor(ms / 86_400_000);
  return days >= 2 ? `${days} d` : formatDuration(ms);
}

const notes: Readonly<Record<OrphanKind, string>> = {
  "machine-without-tenant": "made by us, for no tenant",
  "machine-of-others": "not made by us; is left alone",
  "volume-unattached": "attached to nothing",
  "volume-of-missing-machine": "attached to a machine that is gone,",
  "volume-without-tenant": "no tenant owns its machine",
  "tenant-without-machines": "its machines are gone, volumes are left",
  "machine-cordoned": "cordoned: nothing is sent to it",
  "machine-leased": "nobody else can change it",
};
