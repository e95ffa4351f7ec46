import * as v from "valibot";

/** Everything a web process is told when it is started, but for its secret. As JSON in its words. */
const webPlanSchema = v.strictObject({
  /** Its parent: it dies with it. */
  brokerPid: v.number(),
  /** The public door; numeric addresses, port 0 for any (tests). Missing: none. */
  http: v.optional(v.strictObject({ host: v.string(), port: v.number() })),
  /** The private one, for whoever collects metrics. */
  metrics: v.optional(v.strictObject({ host: v.string(), port: v.number() })),
  /** Whether `Fly-Client-IP` says who a client is: only behind Fly's edge, which sets it itself. */
  trustClientIp: v.boolean(),
  logLevel: v.picklist(["debug", "info", "warn", "error"]),
});

export type WebPlan = Readonly<v.InferOutput<typeof webPlanSchema>>;

/** The first line of its stdin. */
const webSecretsSchema = v.strictObject({
  /** As the relay has it: 16 hexadecimal digits. */
  doorCookie: v.pipe(v.string(), v.regex(/^[0-9a-f]{16}$/)),
});

export type WebSecrets = Readonly<v.InferOutput<typeof webSecretsSchema>>;

/** What the broker says to the web process by stdin, one JSON document a line. Its end means: stop. */
const webOrderSchema = v.variant("kind", [
  /** A relay came up; its door is on 127.0.0.1. Those who are connected stay so: their datagrams find it. */
  v.strictObject({
    kind: v.literal("door"),
    port: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65_535)),
  }),
  /** The whole text for /metrics, each second. */
  v.strictObject({ kind: v.literal("metrics"), text: v.string() }),
  /** What /healthz says from now on; until the first of these it is not well. `why` is shown to anybody. */
  v.strictObject({ kind: v.literal("health"), ok: v.boolean(), why: v.string() }),
  /** No new connections; the old ones are told to come again. */
  v.strictObject({ kind: v.literal("drain") }),
]);

export type WebOrder = v.InferOutput<typeof webOrderSchema>;

/** What the web process writes to stdout, one JSON document a line. Its log is its stderr. */
export const webReportSchema = v.variant("kind", [
  v.looseObject({
    kind: v.literal("listening"),
    http: v.optional(v.strictObject({ host: v.string(), port: v.number() })),
    metrics: v.optional(v.strictObject({ host: v.string(), port: v.number() })),
  }),
  v.looseObject({ kind: v.literal("failed"), message: v.string() }),
  /** Every second. Names as in docs/proxy.md, less their prefix; see `web-counters.ts`. */
  v.looseObject({
    kind: v.literal("metrics"),
    counters: v.record(v.string(), v.number()),
    gauges: v.record(v.string(), v.number()),
  }),
]);

export type WebReport = v.InferOutput<typeof webReportSchema>;

export function encodeWebPlan(plan: WebPlan): string {
  return JSON.stringify(plan);
}

export function decodeWebPlan(json: string): WebPlan {
  return v.parse(v.pipe(v.string(), v.parseJson(), webPlanSchema), json);
}

export function encodeWebSecrets(secrets: WebSecrets): string {
  return `${JSON.stringify(secrets)}\n`;
}

export function decodeWebSecrets(line: string): WebSecrets {
  return v.parse(v.pipe(v.string(), v.parseJson(), webSecretsSchema), line);
}

export function encodeWebOrder(order: WebOrder): string {
  return `${JSON.stringify(order)}\n`;
}

export function decodeWebOrder(line: string): WebOrder {
  return v.parse(v.pipe(v.string(), v.parseJson(), webOrderSchema), line);
}

export function encodeWebReport(report: WebReport): string {
  return `${JSON.stringify(report)}\n`;
}
