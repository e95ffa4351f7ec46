import type { CheckView } from "./health-checks.ts";
import type { EventRecord, MachineRecord, VolumeRecord } from "./record.ts";
import { imageDigest } from "./signing-key.ts";
import { textOf } from "./machine-config.ts";

/** A machine as the API shows it. */
export function machineView(
  record: Omit<MachineRecord, "state"> & { readonly state: string },
  options: {
    readonly summary?: boolean;
    /** With its lease, if it has one at this time. */
    readonly leaseAtMs?: number | undefined;
    readonly checks?: readonly CheckView[];
  } = {},
): Record<string, unknown> {
  const view = {
    id: record.id,
    name: record.name,
    state: record.state,
    region: record.region,
    instance_id: record.version,
    version: record.version,
    private_ip: record.address,
    image_ref: imageView(textOf(record.config["image"]) ?? ""),
    created_at: timeOf(record.createdAtMs),
    updated_at: timeOf(record.updatedAtMs),
    cordoned: record.cordoned,
    ...leaseView(record.lease, options.leaseAtMs),
  };
  if (options.summary === true) return view;
  return {
    ...view,
    config: record.config,
    events: record.events.map((event) => eventView(event)),
    checks: options.checks ?? [],
    host_status: "ok",
  };
}

export function eventView(event: EventRecord): Record<string, unknown> {
  return { ...event };
}

export function volumeView(record: VolumeRecord): Record<string, unknown> {
  const blockSize = 4_096;
  const bytes = record.sizeGb * 2 ** 30;
  return {
    id: record.id,
    name: record.name,
    state: record.state,
    size_gb: record.sizeGb,
    region: record.region,
    zone: "local",
    encrypted: record.encrypted,
    attached_machine_id: record.machineId ?? null,
    attached_alloc_id: null,
    created_at: timeOf(record.createdAtMs),
    // A folder has no size of its own; the numbers are those of an empty volume.
    block_size: blockSize,
    blocks: bytes / blockSize,
    blocks_free: bytes / blockSize,
    blocks_avail: bytes / blockSize,
    bytes_total: bytes,
    bytes_used: 0,
    fstype: "ext4",
    snapshot_retention: record.snapshotRetention,
    auto_backup_enabled: record.autoBackup ?? true,
    host_status: "ok",
    type: "local",
  };
}

/** Without the nonce, which is its holder's alone. */
function leaseView(
  lease: MachineRecord["lease"],
  atMs: number | undefined,
): { readonly lease?: Record<string, unknown> } {
  if (lease === undefined || atMs === undefined || lease.expiresAtMs <= atMs) return {};
  const { owner, description, expiresAtMs } = lease;
  return { lease: { owner, description, expires_at: Math.floor(expiresAtMs / 1_000) } };
}

/** `registry/repository:tag@digest`, with Docker's rule for what is a registry. */
function imageView(image: string): Record<string, unknown> {
  const [named = ""] = image.split("@");
  const slash = named.indexOf("/");
  const first = slash === -1 ? "" : named.slice(0, slash);
  const hasRegistry = /[.:]|^localhost$/u.test(first);
  const rest = hasRegistry ? named.slice(slash + 1) : named;
  const colon = rest.lastIndexOf(":");
  return {
    registry: hasRegistry ? first : "docker-hub-mirror.fly.io",
    repository: colon === -1 ? rest : rest.slice(0, colon),
    tag: colon === -1 ? "latest" : rest.slice(colon + 1),
    digest: imageDigest(image),
    labels: {},
  };
}

export function timeOf(ms: number): string {
  return new Date(ms).toISOString();
}
