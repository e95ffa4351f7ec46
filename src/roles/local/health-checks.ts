import * as v from "valibot";
import { parseGoDuration } from "../../fly/duration.ts";
import { localLimits } from "./limits.ts";
import type { MachineConfig } from "./machine-config.ts";

export interface CheckView {
  readonly name: string;
  readonly status: "passing" | "warning" | "critical";
  readonly output: string;
  readonly updated_at: string;
}

const checkNumbers = { port: v.optional(v.number()), type: v.optional(v.string()) };
const checkShape = v.looseObject(checkNumbers);
const configShape = v.looseObject({
  checks: v.optional(v.record(v.string(), checkShape)),
  services: v.optional(
    v.array(
      v.looseObject({
        internal_port: v.optional(v.number()),
        checks: v.optional(v.array(checkShape)),
      }),
    ),
  ),
});

export interface CheckPlan {
  readonly name: string;
  readonly type: string;
  readonly port: number;
  /** For HTTP. */
  readonly path: string;
  readonly method: string;
  readonly intervalMs: number;
  readonly timeoutMs: number;
}

/** The checks of a configuration: those with a name, then those of its services under Fly's names. */
export function checkPlans(config: MachineConfig): CheckPlan[] {
  const parsed = v.safeParse(configShape, config);
  if (!parsed.success) return [];
  const { checks = {}, services = [] } = parsed.output;
  const named = Object.entries(checks).map(([name, check]) => planOf(name, check, 0));
  const served = services.flatMap((service) =>
    (service.checks ?? []).map((check, index) => {
      const port = check.port ?? service.internal_port ?? 0;
      const number = String(index).padStart(2, "0");
      return planOf(`servicecheck-${number}-${check.type ?? "tcp"}-${port}`, check, port);
    }),
  );
  return [...named, ...served];
}

function durationMs(value: unknown, byDefault: number): number {
  const known = typeof value === "string" || typeof value === "number";
  const ms = known ? parseGoDuration(value) : undefined;
  return ms === undefined || ms < localLimits.checkMsMin ? byDefault : ms;
}

function planOf(name: string, check: v.InferOutput<typeof checkShape>, port: number): CheckPlan {
  const { path, method } = check;
  return {
    name,
    type: check.type ?? "tcp",
    port: check.port ?? port,
    path: typeof path === "string" ? path : "/",
    method: typeof method === "string" ? method.toUpperCase() : "GET",
    intervalMs: durationMs(check["interval"], localLimits.checkIntervalMs),
    timeoutMs: durationMs(check["timeout"], localLimits.checkTimeoutMs),
  };
}
