import * as v from "valibot";

/** Everything a relay is told when it is started, but for its secrets. As JSON in its words. */
const relayPlanSchema = v.strictObject({
  /** Its parent: it dies with it. */
  brokerPid: v.number(),
  /** Numeric addresses; port 0 for any (tests). */
  listen: v.array(v.strictObject({ host: v.string(), port: v.number() })),
  /** Of init on every machine. */
  backendPort: v.number(),
  sessionTimeoutMs: v.number(),
  /** Clients need no tags. */
  open: v.boolean(),
  machineBitsPerSecond: v.number(),
  logLevel: v.picklist(["debug", "info", "warn", "error"]),
});

export type RelayPlan = Readonly<v.InferOutput<typeof relayPlanSchema>>;

/** One line each, the first things a relay reads from `relayFds.secrets`. */
const relaySecretsSchema = v.strictObject({
  /** As `parseProxyMasters` takes them; missing only with `open`. */
  masters: v.optional(v.string()),
  /** 16 hexadecimal digits, first in every frame at the door of the web process. */
  doorCookie: v.string(),
});

export type RelaySecrets = Readonly<v.InferOutput<typeof relaySecretsSchema>>;

/** What a relay writes to `relayFds.reports`, one JSON document a line. */
export const relayReportSchema = v.variant("kind", [
  v.looseObject({
    kind: v.literal("listening"),
    addresses: v.array(v.strictObject({ host: v.string(), port: v.number() })),
    /** On 127.0.0.1, for the web process. */
    doorPort: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65_535)),
  }),
  v.looseObject({ kind: v.literal("failed"), message: v.string() }),
  /** Every second. Names as in docs/proxy.md, less their prefix. */
  v.looseObject({
    kind: v.literal("metrics"),
    counters: v.record(v.string(), v.number()),
    /** By cause. */
    drops: v.record(v.string(), v.number()),
    gauges: v.record(v.string(), v.number()),
  }),
]);

export type RelayReport = v.InferOutput<typeof relayReportSchema>;

/** Descriptors of a relay. Its log is its stderr. */
export const relayFds = { secrets: 3, records: 4, requests: 5, reports: 6 } as const;

export function encodeRelayPlan(plan: RelayPlan): string {
  return JSON.stringify(plan);
}

export function decodeRelayPlan(json: string): RelayPlan {
  return v.parse(v.pipe(v.string(), v.parseJson(), relayPlanSchema), json);
}

export function encodeRelaySecrets(secrets: RelaySecrets): string {
  return `${JSON.stringify(secrets)}\n`;
}

export function decodeRelaySecrets(line: string): RelaySecrets {
  return v.parse(v.pipe(v.string(), v.parseJson(), relaySecretsSchema), line);
}
