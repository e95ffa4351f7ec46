import * as v from "valibot";
import { parseGoDuration } from "../../fly/duration.ts";
import { ApiError } from "./api-error.ts";
import { localLimits } from "./limits.ts";

/**
 * The configuration a machine was given. It is kept as it came, less the members Fly does not know
 * (Fly drops those without a word too); only what fly-local acts on is looked at.
 */
const knownMembers = [
  ..."auto_destroy cache_drive checks containers disable_machine_autostart dns env files".split(
    " ",
  ),
  ..."guest image init metadata metrics mounts processes restart rootfs schedule".split(" "),
  ..."services size spot standbys statics stop_config".split(" "),
] as const;

const stopSignals = [
  "SIGHUP",
  "SIGINT",
  "SIGQUIT",
  "SIGKILL",
  "SIGUSR1",
  "SIGUSR2",
  "SIGTERM",
] as const;

const mount = v.looseObject({
  path: v.pipe(v.string(), v.startsWith("/")),
  volume: v.optional(v.string()),
  name: v.optional(v.string()),
});

const machineConfig = v.looseObject({
  image: v.pipe(v.string(), v.minLength(1), v.maxLength(512)),
  env: v.optional(v.record(v.string(), v.string())),
  metadata: v.optional(v.record(v.string(), v.string())),
  mounts: v.optional(v.pipe(v.array(mount), v.maxLength(1))),
  init: v.optional(v.looseObject({ cmd: v.optional(v.nullable(v.array(v.string()))) })),
  guest: v.optional(
    v.looseObject({
      cpu_kind: v.optional(v.picklist(["shared", "performance"])),
      cpus: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(16))),
      memory_mb: v.optional(v.pipe(v.number(), v.integer(), v.minValue(256), v.multipleOf(256))),
    }),
  ),
  restart: v.optional(
    v.looseObject({
      policy: v.optional(v.picklist(["no", "always", "on-failure", ""])),
      max_retries: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0))),
    }),
  ),
  stop_config: v.optional(
    v.looseObject({
      signal: v.optional(v.picklist(stopSignals)),
      timeout: v.optional(v.union([v.string(), v.number()])),
    }),
  ),
  auto_destroy: v.optional(v.boolean()),
});

export type MachineConfig = Record<string, unknown>;

/** Refuses what Fly would refuse and adds the defaults that answers carry. */
export function parseMachineConfig(input: unknown): MachineConfig {
  const result = v.safeParse(machineConfig, input);
  if (!result.success) {
    const [issue] = result.issues;
    const where = ["config", v.getDotPath(issue)].filter((part) => part !== null).join(".");
    throw new ApiError(400, `invalid_argument: ${where}: ${issue.message}`);
  }
  const config: MachineConfig = {};
  for (const name of knownMembers) {
    const value = result.output[name];
    if (value !== undefined && value !== null) config[name] = value;
  }
  // Checks the duration too.
  stopPlan(config);
  config["guest"] ??= { cpu_kind: "shared", cpus: 1, memory_mb: 256 };
  config["restart"] ??= { policy: "on-failure", max_retries: localLimits.restartsMax };
  return config;
}

/** Signal and grace: of the request, else of the configuration, else Fly's own. */
export function stopPlan(
  config: MachineConfig,
  asked: { signal?: string | undefined; timeout?: string | number | undefined } = {},
): { signal: NodeJS.Signals; graceMs: number } {
  const configured = recordOf(config["stop_config"]);
  const signal = asked.signal ?? textOf(configured["signal"]) ?? "SIGINT";
  const known = stopSignals.find((name) => name === signal);
  if (known === undefined) throw new ApiError(400, `invalid_argument: unknown signal ${signal}`);
  const timeout = asked.timeout ?? configured["timeout"];
  if (timeout === undefined) return { signal: known, graceMs: localLimits.stopGraceMs };
  const graceMs =
    typeof timeout === "string" || typeof timeout === "number"
      ? parseGoDuration(timeout)
      : undefined;
  if (graceMs === undefined || graceMs > localLimits.stopGraceMsMax) {
    throw new ApiError(400, `invalid_argument: timeout ${JSON.stringify(timeout)}`);
  }
  return { signal: known, graceMs };
}

export function restartPlan(config: MachineConfig): { policy: string; retriesMax: number } {
  const restart = recordOf(config["restart"]);
  const policy = textOf(restart["policy"]) ?? "";
  const retries = restart["max_retries"];
  return {
    policy: policy === "" ? "on-failure" : policy,
    retriesMax: typeof retries === "number" ? retries : localLimits.restartsMax,
  };
}

/** Why a machine cannot be suspended, by Fly's rules; undefined where it can. */
export function suspendObstacle(config: MachineConfig): string | undefined {
  if (guestOf(config).memoryMb > localLimits.suspendMemoryMbMax)
    return `it has more than ${localLimits.suspendMemoryMbMax} MB of memory`;
  const swap = recordOf(config["init"])["swap_size_mb"];
  if (typeof swap === "number" && swap > 0) return "it has swap";
  return textOf(config["schedule"]) === undefined ? undefined : "it has a schedule";
}

export interface Mount {
  readonly path: string;
  readonly volume: string | undefined;
  readonly name: string | undefined;
}

export function mountsOf(config: MachineConfig): Mount[] {
  const mounts = config["mounts"];
  if (!Array.isArray(mounts)) return [];
  return mounts.map((entry: unknown) => {
    const found = recordOf(entry);
    return {
      path: textOf(found["path"]) ?? "",
      volume: textOf(found["volume"]),
      name: textOf(found["name"]),
    };
  });
}

export function guestOf(config: MachineConfig): { memoryMb: number } {
  const memory = recordOf(config["guest"])["memory_mb"];
  return { memoryMb: typeof memory === "number" ? memory : 256 };
}

export function guestView(config: MachineConfig): Record<string, unknown> {
  return recordOf(config["guest"]);
}

/** Words after the entrypoint. */
export function commandWords(config: MachineConfig): string[] {
  const words = recordOf(config["init"])["cmd"];
  return Array.isArray(words) ? words.filter((word) => typeof word === "string") : [];
}

export function stringMap(value: unknown): Record<string, string> {
  const entries = Object.entries(recordOf(value));
  return Object.fromEntries(
    entries.filter((entry): entry is [string, string] => typeof entry[1] === "string"),
  );
}

export function textOf(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}

function recordOf(value: unknown): Record<string, unknown> {
  return v.is(v.record(v.string(), v.unknown()), value) ? value : {};
}
