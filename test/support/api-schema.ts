/**
 * The answers of the Machines API that fly-local gives, in our own words after Fly's published
 * description: every member it may have, and of which type. `?` marks what may be null in spite of
 * the description, which marks nothing.
 */
type Kind =
  | "string"
  | "string?"
  | "integer"
  | "boolean"
  | "object"
  | { readonly list: Kind | Shape }
  | { readonly map: "string" }
  | { readonly one: readonly string[] }
  | Shape;

export interface Shape {
  readonly members: Readonly<Record<string, Kind>>;
}

const event: Shape = {
  members: {
    id: "string",
    type: "string",
    status: "string",
    source: "string",
    timestamp: "integer",
    request: "object",
  },
};

const hostStatus = { one: ["ok", "unknown", "unreachable"] } as const;

const guest: Shape = {
  members: {
    cpu_kind: "string",
    cpus: "integer",
    memory_mb: "integer",
    max_memory_mb: "integer",
    kernel_args: { list: "string" },
  },
};

const config: Shape = {
  members: {
    image: "string",
    env: { map: "string" },
    metadata: { map: "string" },
    guest,
    init: "object",
    restart: {
      members: { policy: { one: ["no", "always", "on-failure"] }, max_retries: "integer" },
    },
    stop_config: { members: { signal: "string", timeout: "string" } },
    mounts: {
      list: {
        members: {
          volume: "string",
          path: "string",
          name: "string",
          size_gb: "integer",
          encrypted: "boolean",
        },
      },
    },
    services: { list: "object" },
    auto_destroy: "boolean",
  },
};

const lease: Shape = {
  members: {
    owner: "string",
    description: "string",
    expires_at: "integer",
    version: "string",
    nonce: "string",
  },
};

export const apiShapes = {
  event,
  machine: {
    members: {
      id: "string",
      name: "string",
      state: "string",
      region: "string",
      instance_id: "string",
      version: "string",
      private_ip: "string",
      image_ref: {
        members: {
          registry: "string",
          repository: "string",
          tag: "string",
          digest: "string",
          labels: { map: "string" },
        },
      },
      created_at: "string",
      updated_at: "string",
      config,
      events: { list: event },
      checks: { list: "object" },
      cordoned: "boolean",
      host_status: hostStatus,
      lease,
      nonce: "string",
    },
  },
  volume: {
    members: {
      id: "string",
      name: "string",
      state: "string",
      size_gb: "integer",
      region: "string",
      zone: "string",
      encrypted: "boolean",
      attached_machine_id: "string?",
      attached_alloc_id: "string?",
      created_at: "string",
      blocks: "integer",
      block_size: "integer",
      blocks_free: "integer",
      blocks_avail: "integer",
      bytes_total: "integer",
      bytes_used: "integer",
      fstype: "string",
      snapshot_retention: "integer",
      auto_backup_enabled: "boolean",
      host_status: hostStatus,
      type: { one: ["local", "cache"] },
    },
  },
  wait: { members: { ok: "boolean", state: "string", version: "string", event_id: "string" } },
  app: {
    members: {
      id: "string",
      name: "string",
      internal_numeric_id: "integer",
      machine_count: "integer",
      volume_count: "integer",
      network: "string",
      status: "string",
      organization: {
        members: { name: "string", slug: "string", internal_numeric_id: "integer" },
      },
    },
  },
  error: {
    members: {
      error: "string",
      status: {
        one: ["unknown", "insufficient_capacity", "volume_placement_capacity", "name_taken"],
      },
    },
  },
} as const satisfies Record<string, Shape>;

/** Every place where a value is not as described; empty when all is well. */
export function schemaProblems(value: unknown, kind: Kind, at = "answer"): string[] {
  if (typeof kind === "string") return plainProblem(value, kind, at);
  if ("one" in kind) {
    return kind.one.some((each) => each === value) ? [] : [`${at}: ${JSON.stringify(value)}`];
  }
  if ("list" in kind) {
    if (!Array.isArray(value)) return [`${at}: no list`];
    return value.flatMap((entry, index) => schemaProblems(entry, kind.list, `${at}[${index}]`));
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    return [`${at}: no object`];
  if ("map" in kind) {
    return Object.entries(value).flatMap(([key, entry]) =>
      schemaProblems(entry, kind.map, `${at}.${key}`),
    );
  }
  return Object.entries(value).flatMap(([key, entry]) => {
    const member = Object.hasOwn(kind.members, key) ? kind.members[key] : undefined;
    return member === undefined
      ? [`${at}.${key}: not described`]
      : schemaProblems(entry, member, `${at}.${key}`);
  });
}

function plainProblem(value: unknown, kind: string, at: string): string[] {
  if (kind === "string?" && value === null) return [];
  const fits =
    kind === "integer" ? Number.isSafeInteger(value) : typeof value === kind.replace("?", "");
  return fits && value !== null ? [] : [`${at}: ${JSON.stringify(value)} is no ${kind}`];
}
