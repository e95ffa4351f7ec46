import {
  type FlyMachine,
  type FlyVolume,
  isMachineGone,
  isVolumeGone,
} from "../../fly/machine-shape.ts";
import { managedBy, metadataKeys } from "./plan.ts";
import { tenantOf } from "./tenant-id.ts";
import { timeMs } from "./usage-times.ts";

export type OrphanKind =
  /** Made by us, and its tenant is not named. */
  | "machine-without-tenant"
  /** Not made by us; nobody's here to say whose it is. */
  | "machine-of-others"
  /** Attached to nothing; `tenant` where a deleted machine of a tenant had it. */
  | "volume-unattached"
  /** Attached to a machine that is not there any more. */
  | "volume-of-missing-machine"
  /** Attached to a machine that no tenant owns. */
  | "volume-without-tenant"
  /** All machines of the tenant are gone, and something of it is still there. */
  | "tenant-without-machines"
  /** Cordoned, as by a rollout or a deletion that broke off: nothing is sent to it. */
  | "machine-cordoned"
  /** Under a lease: nobody else can change it until then. */
  | "machine-leased";

/** Something that is there, and is nobody's or in nobody's hands. */
export interface Orphan {
  readonly kind: OrphanKind;
  /** Of the machine, the volume or the tenant. */
  readonly id: string;
  readonly what: "machine" | "volume" | "tenant";
  readonly name: string | undefined;
  readonly tenant: string | undefined;
  /** Since when it exists. */
  readonly sinceMs: number | undefined;
  /** What is paid for month by month; undefined for what has no size. */
  readonly gib: number | undefined;
  /** Volumes are attached by these. */
  readonly machineId: string | undefined;
  /** The end of its lease. */
  readonly untilMs: number | undefined;
  /** Whether --delete may take it away. */
  readonly isDeletable: boolean;
  /** It is so young that it may be part of something that is just being made. */
  readonly isYoung: boolean;
}

export interface FleetView {
  /** Deleted ones, too. */
  readonly machines: readonly FlyMachine[];
  readonly volumes: readonly FlyVolume[];
  readonly nowMs: number;
}

/** What nobody owns in an app, machines first, by id. Pure. */
export function findOrphans(view: FleetView): Orphan[] {
  const machines = view.machines.filter((machine) => !isMachineGone(machine));
  const volumes = view.volumes.filter((volume) => !isVolumeGone(volume));
  const owners = new Map(machines.map((machine) => [machine.id, machine]));
  const lostVolumes = volumes.flatMap((volume) => volumeOrphan(volume, view, owners) ?? []);
  return [
    ...machines.flatMap((machine) => machineOrphans(machine, view.nowMs)),
    ...lostVolumes.toSorted(byId),
    ...lostTenants(lostVolumes, machines),
  ];
}

function machineOrphans(machine: FlyMachine, nowMs: number): Orphan[] {
  const isOurs = metadataOf(machine)[metadataKeys.managedBy] === managedBy;
  const tenant = tenantOf(machine) || undefined;
  const found = (kind: OrphanKind, more: Partial<Orphan> = {}): Orphan => ({
    ...nothing,
    ...ageOf(machine, nowMs),
    kind,
    what: "machine",
    id: machine.id,
    name: machine.name ?? undefined,
    tenant,
    ...more,
  });
  // Its configuration is not known, so neither is its tenant.
  if (isUnreadable(machine)) return [];
  if (!isOurs) return [found("machine-of-others")];
  const orphans: Orphan[] = [];
  if (tenant === undefined) orphans.push(found("machine-without-tenant", { isDeletable: true }));
  if (machine.cordoned === true) orphans.push(found("machine-cordoned"));
  const untilMs = leaseEndMs(machine);
  if (untilMs !== undefined && untilMs > nowMs) orphans.push(found("machine-leased", { untilMs }));
  return orphans;
}

function volumeOrphan(
  volume: FlyVolume,
  { machines, nowMs }: FleetView,
  owners: ReadonlyMap<string, FlyMachine>,
): Orphan | undefined {
  const machineId = volume.attached_machine_id || mountedBy(volume.id, owners);
  const owner = machineId === undefined ? undefined : owners.get(machineId);
  if (owner !== undefined && (tenantOf(owner) !== "" || isUnreadable(owner))) return undefined;
  const before = machines.find((machine) => mounts(machine).includes(volume.id));
  const kind: OrphanKind =
    machineId === undefined
      ? "volume-unattached"
      : owner === undefined
        ? "volume-of-missing-machine"
        : "volume-without-tenant";
  return {
    ...nothing,
    ...ageOf(volume, nowMs),
    kind,
    what: "volume",
    id: volume.id,
    name: volume.name ?? undefined,
    tenant: before === undefined ? undefined : tenantOf(before) || undefined,
    gib: volume.size_gb ?? 0,
    machineId,
    // A machine that cannot be read now may have it.
    isDeletable: owner === undefined && ![...owners.values()].some(isUnreadable),
  };
}

/** A tenant is known by its machines; without any, by what a deleted one had. */
function lostTenants(volumes: readonly Orphan[], machines: readonly FlyMachine[]): Orphan[] {
  const living = new Set(machines.map(tenantOf));
  const lost = Map.groupBy(
    volumes.filter(({ tenant = "" }) => tenant !== "" && !living.has(tenant)),
    ({ tenant = "" }) => tenant,
  );
  return [...lost].map(([tenant, own]) => lostTenant(tenant, own)).toSorted(byId);
}

function lostTenant(tenant: string, volumes: readonly Orphan[]): Orphan {
  const gib = volumes.reduce((sum, volume) => sum + (volume.gib ?? 0), 0);
  return { ...nothing, kind: "tenant-without-machines", what: "tenant", id: tenant, tenant, gib };
}

/** Fly may know the mount of a machine before the attachment of the volume. */
function mountedBy(volume: string, owners: ReadonlyMap<string, FlyMachine>): string | undefined {
  for (const machine of owners.values()) if (mounts(machine).includes(volume)) return machine.id;
  return undefined;
}

function mounts(machine: FlyMachine): (string | null | undefined)[] {
  return (configOf(machine)?.mounts ?? []).map(({ volume }) => volume);
}

function metadataOf(machine: FlyMachine): Readonly<Record<string, string>> {
  return configOf(machine)?.metadata ?? {};
}

function configOf(machine: FlyMachine): FlyMachine["config"] {
  return machine.config ?? machine.incomplete_config;
}

/** Its host does not answer, so nobody can say whose it is. */
export function isUnreadable(machine: FlyMachine): boolean {
  return machine.config === null || machine.config === undefined;
}

function leaseEndMs(machine: FlyMachine): number | undefined {
  const lease = machine["lease"];
  if (typeof lease !== "object" || lease === null || !("expires_at" in lease)) return undefined;
  return typeof lease.expires_at === "number" ? lease.expires_at * 1_000 : undefined;
}

function ageOf(
  thing: FlyMachine | FlyVolume,
  nowMs: number,
): { readonly sinceMs: number | undefined; readonly isYoung: boolean } {
  const sinceMs = timeMs(typeof thing["created_at"] === "string" ? thing["created_at"] : undefined);
  // Of what does not tell its age, the worse is believed.
  return { sinceMs, isYoung: sinceMs === undefined || nowMs - sinceMs < youngMs };
}

function byId(a: { readonly id: string }, b: { readonly id: string }): number {
  return a.id < b.id ? -1 : 1;
}

const nothing = {
  name: undefined,
  tenant: undefined,
  sinceMs: undefined,
  gib: undefined,
  machineId: undefined,
  untilMs: undefined,
  isDeletable: false,
  isYoung: false,
} as const;

/** `tenant create` makes a volume before the machine that mounts it, and may wait minutes for that. */
const youngMs = 15 * 60_000;
