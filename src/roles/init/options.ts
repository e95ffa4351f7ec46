import { formatDuration, parseDuration } from "../../cli/duration.ts";
import { formatSize, parseSize } from "../../cli/size.ts";
import { UsageError } from "../../cli/usage-error.ts";
import { limits } from "../../protocol/limits.ts";
import { type LogLevel, logLevelFrom } from "../../system/log.ts";
import { type Opening, parseOpenings } from "./firewall-rules.ts";
import { initLimits } from "./limits.ts";
import { listenPorts } from "./link-address.ts";

/** Everything init is told, by flags and environment. */
export interface InitOptions {
  /** Undefined: port 8443 of the names that Fly gives its networks, else of all addresses. */
  readonly listen: string | undefined;
  readonly dataDir: string;
  readonly apiSocket: string;
  readonly runDir: string;
  readonly app: string;
  readonly machineId: string;
  readonly hostname: string;
  readonly stopGraceMs: number;
  readonly firewall: "on" | "off" | "auto";
  readonly openings: readonly Opening[];
  /** Output kept of each stream of a session. */
  readonly ringBytes: number;
  /** Of all sessions together; undefined: what the machine can spare. */
  readonly ringsBytesMax: number | undefined;
  /** Undefined: it does not stop by itself. */
  readonly idleStopMs: number | undefined;
  readonly logLevel: LogLevel;
  /** What SIGHUP starts as the link. Undefined: the file init itself was started from. */
  readonly linkProgram: string | undefined;
}

export interface InitFlags {
  readonly listen: string | undefined;
  readonly "data-dir": string | undefined;
  readonly "api-socket": string | undefined;
  readonly "run-dir": string | undefined;
  readonly "session-output": string | undefined;
  readonly "session-output-total": string | undefined;
  readonly "idle-stop": string | undefined;
}

type Env = Readonly<Record<string, string | undefined>>;

/** Flags have read their environment variables already. Throws `UsageError`. */
export function readOptions(flags: InitFlags, env: Env): InitOptions {
  const app = env["FLY_APP_NAME"] ?? "";
  const ringBytes = outputKept("--session-output (VAULT_SESSION_OUTPUT)", flags["session-output"], {
    min: initLimits.ringBytesMin,
    max: initLimits.ringBytesMax,
  });
  const ringsBytesMax = outputKept(
    "--session-output-total (VAULT_SESSION_OUTPUT_TOTAL)",
    flags["session-output-total"],
    {
      min: ringBytes ?? initLimits.ringBytesMin,
      max: initLimits.ringsBytesMax,
    },
  );
  return {
    listen: flags.listen,
    dataDir: absolute("--data-dir", flags["data-dir"] ?? "/data"),
    apiSocket: absolute("--api-socket", flags["api-socket"] ?? flyApiSocket),
    runDir: absolute("--run-dir", flags["run-dir"] ?? "/run/fly-vault"),
    app,
    machineId: env["FLY_MACHINE_ID"] ?? "",
    hostname: hostnameOf(env["VAULT_HOSTNAME"] ?? app),
    stopGraceMs: stopGrace(env["VAULT_STOP_GRACE"]),
    firewall: firewallSwitch(env["VAULT_FIREWALL"], flags.listen),
    openings: parseOpenings(env["VAULT_OPEN_PORTS"] ?? ""),
    ringBytes: ringBytes ?? Math.min(limits.ringBytes, ringsBytesMax ?? limits.ringBytes),
    ringsBytesMax,
    idleStopMs: idleStop(flags["idle-stop"]),
    logLevel: logLevelFrom(env["VAULT_LOG"] ?? env["RUST_LOG"]),
    linkProgram: linkProgramOf(env["VAULT_LINK_PROGRAM"]),
  };
}

/** Where Fly has it on its machines. */
export const flyApiSocket = "/.fly/api";

function firewallSwitch(
  text: string | undefined,
  listen: string | undefined,
): "on" | "off" | "auto" {
  if (text === undefined || text === "" || text === "auto") return "auto";
  if (text === "off") return text;
  if (text !== "on") throw new UsageError(`VAULT_FIREWALL is on, off or auto, not "${text}"`);
  if (listenPorts(listen).includes(0))
    throw new UsageError("VAULT_FIREWALL=on needs a port of your choice in --listen, not 0");
  return text;
}

function linkProgramOf(path: string | undefined): string | undefined {
  return path === undefined || path === "" ? undefined : absolute("VAULT_LINK_PROGRAM", path);
}

function absolute(flag: string, path: string): string {
  if (path.startsWith("/")) return path;
  throw new UsageError(`${flag} must be an absolute path, not "${path}"`);
}

/** At most 63 of letters, digits and dashes, as sethostname and everybody's prompt expect. */
function hostnameOf(name: string): string {
  const clean = name.replaceAll(/[^A-Za-z0-9-]+/g, "-").replaceAll(/^-+|-+$/g, "");
  return clean === "" ? "fly-vault" : clean.slice(0, 63);
}

/** Seconds, as in "10", or with a unit: "10s", "500ms". The machine's kill timeout less a little. */
function stopGrace(text: string | undefined): number {
  if (text === undefined || text === "") return initLimits.stopGraceMs;
  const match = /^(\d{1,6})(ms|s)?$/.exec(text);
  if (match === null)
    throw new UsageError(`VAULT_STOP_GRACE is not a number of seconds: "${text}"`);
  return Number(match[1]) * (match[2] === "ms" ? 1 : 1000);
}

function idleStop(text: string | undefined): number | undefined {
  if (text === undefined || text === "" || text === "off") return undefined;
  const ms = parseDuration(text);
  const flag = "--idle-stop (VAULT_IDLE_STOP)";
  if (ms === undefined)
    throw new UsageError(`${flag} must be a duration such as 30m or 2h, or off, not "${text}"`);
  if (ms >= initLimits.idleStopMsMin) return ms;
  throw new UsageError(`${flag} must be ${formatDuration(initLimits.idleStopMsMin)} or more`);
}

function outputKept(
  flag: string,
  text: string | undefined,
  allowed: { readonly min: number; readonly max: number },
): number | undefined {
  if (text === undefined || text === "") return undefined;
  const bytes = parseSize(text);
  if (bytes === undefined)
    throw new UsageError(`${flag} must be a size such as 512K, 4M or 1G, not "${text}"`);
  if (bytes >= allowed.min && bytes <= allowed.max) return bytes;
  const [least, most] = [formatSize(allowed.min), formatSize(allowed.max)];
  throw new UsageError(`${flag} must be ${least} to ${most}, not "${text}"`);
}
