import { readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { defineCommand } from "../../cli/command.ts";
import type { Context } from "../../cli/context.ts";
import { Failure } from "../../cli/failure.ts";
import { jsonLog } from "../../system/log.ts";
import { selfCommand } from "../../system/self.ts";
import { localLimits } from "./limits.ts";
import { type LocalServer, startLocal } from "./server.ts";
import type { SimulatedTimes } from "./simulated-host.ts";

export const serveCommand = defineCommand({
  name: "serve",
  summary: "Serve the Machines API and run its machines as processes of this computer",
  description:
    "Machines live on when fly-local is killed, and the next serve with the same state finds them. " +
    "Stopped in order (Ctrl-C), it stops them first and starts them again the next time.",
  flags: {
    "state-dir": {
      value: "DIR",
      summary: "where everything is kept (default: ~/.local/state/fly-vault/local)",
    },
    listen: { value: "ADDRESS", summary: "loopback address and port (default: 127.0.0.1:4280)" },
    org: { value: "SLUG", summary: "the organisation all machines belong to (default: local)" },
    region: { value: "CODE", summary: "the region machines get by default (default: iad)" },
    init: {
      value: "PATH",
      summary: "run this as every machine's entrypoint in place of this program's init",
    },
    "evidence-rate": {
      value: "N",
      summary: "evidence tokens per second and machine; 0: unlimited (default: 1, burst 3)",
    },
    "rate-limit": {
      negatable: true,
      summary: "answer 429 to calls that come faster than Fly allows (default: yes)",
    },
    run: {
      negatable: true,
      summary: "really run machines; --no-run: they are records that change in time (default: yes)",
    },
    "start-ms": { value: "MS", summary: "with --no-run: how long a start takes (default: 1000)" },
    "checks-ms": {
      value: "MS",
      summary: "with --no-run: from the start until checks pass (default: 2000)",
    },
    "stop-ms": { value: "MS", summary: "with --no-run: how long a stop takes (default: 300)" },
    "lag-ms": {
      value: "MS",
      summary: "how long clients without the cookie of a write do not see it (default: 0)",
    },
    capacity: {
      value: "REGION=N,...",
      summary: "how many machines may run at once in these regions (default: any number)",
    },
    "strict-apps": { summary: "apps must be created first; otherwise using one creates it" },
    faults: { value: "FILE", summary: "what goes wrong on purpose, as JSON (docs/fly-local.md)" },
    "keep-machines": { summary: "leave machines running when stopped in order, too" },
    json: { summary: "print one JSON line when ready" },
  },
  examples: [
    "fly-local serve --state-dir /tmp/fly",
    "export FLY_API_BASE=http://127.0.0.1:4280 FLY_API_TOKEN=$(cat /tmp/fly/api-token)",
  ],
  exitStatus: "0 after an orderly stop; 2 for wrong flags; 1 when it could not start",
  run: async ({ flags, global }, context) => {
    const stateDir = stateDirOf(flags["state-dir"], context.env);
    const listen = parseListen(flags.listen ?? "127.0.0.1:4280");
    const server = await startLocal({
      ...listen,
      stateDir,
      org: checked("--org", flags.org ?? "local", /^[a-z0-9][a-z0-9-]{0,62}$/u),
      region: checked("--region", flags.region ?? "iad", /^[a-z]{3}$/u),
      entrypoint: flags.init === undefined ? selfCommand("init") : [resolve(flags.init)],
      evidencePace: evidencePace(flags["evidence-rate"]),
      paced: flags["rate-limit"] !== false,
      strictApps: flags["strict-apps"],
      simulated: flags.run === false ? simulatedTimes(flags) : undefined,
      lagMs: milliseconds("--lag-ms", flags["lag-ms"], { max: localLimits.lagMsMax }) ?? 0,
      capacity: capacityOf(flags.capacity),
      faults: flags.faults === undefined ? undefined : readFaults(flags.faults),
      log: jsonLog({
        role: "fly-local",
        level: global.verbose > 0 ? "debug" : global.quiet ? "error" : "info",
        write: (line) => void context.stderr.write(line).catch(() => undefined),
        wallMs: context.wallMs,
      }),
      wallMs: context.wallMs,
      monotonicMs: context.monotonicMs,
    });
    const stopped = stopRequest(context);
    await announce(server, { ...flags, stateDir }, context);
    await stopped;
    await server.close({ keepMachines: flags["keep-machines"] });
    return 0;
  },
});

async function announce(
  server: LocalServer,
  options: { readonly json: boolean; readonly stateDir: string; readonly org: string | undefined },
  context: Context,
): Promise<void> {
  const org = options.org ?? "local";
  if (options.json) {
    const line = {
      api_base: server.apiBase,
      issuer: server.issuer,
      org,
      api_token: server.apiToken,
    };
    await context.stdout.write(`${JSON.stringify(line)}\n`);
    return;
  }
  const rows = [
    ["Machines API", server.apiBase],
    ["evidence from", server.issuer],
    ["organisation", org],
    ["state", options.stateDir],
    ["machines", `${server.machineCount} running`],
  ];
  const table = rows.map(([name = "", value = ""]) => `  ${name.padEnd(14)}${value}\n`).join("");
  const tokenFile = join(options.stateDir, "api-token");
  await context.stdout.write(
    `fly-local is ready.\n${table}\nIn another terminal:\n` +
      `  export FLY_API_BASE=${server.apiBase} FLY_API_TOKEN=$(cat ${tokenFile})\n`,
  );
}

/** Resolves at the first request to stop. */
async function stopRequest(context: Context): Promise<void> {
  await new Promise<void>((resolveStop) => {
    const unsubscribe = context.onStop(() => {
      unsubscribe();
      resolveStop();
    });
  });
}

function stateDirOf(flag: string | undefined, env: Context["env"]): string {
  const base = env["XDG_STATE_HOME"] ?? join(homedir(), ".local", "state");
  const dir = resolve(flag ?? join(base, "fly-vault", "local"));
  if (Buffer.byteLength(dir) <= localLimits.stateDirBytesMax) return dir;
  throw new Failure("FV-CLI-001", `the state folder's path is too long: ${dir}`, {
    because: `Unix sockets lie below it, and their paths have 107 bytes; ${localLimits.stateDirBytesMax} are left for the folder`,
    fix: "pass a shorter --state-dir",
  });
}

function simulatedTimes(flags: {
  readonly "start-ms": string | undefined;
  readonly "checks-ms": string | undefined;
  readonly "stop-ms": string | undefined;
}): SimulatedTimes {
  const range = { max: localLimits.simulatedMsMax };
  return {
    startMs: milliseconds("--start-ms", flags["start-ms"], range) ?? 1_000,
    checksMs: milliseconds("--checks-ms", flags["checks-ms"], range) ?? 2_000,
    stopMs: milliseconds("--stop-ms", flags["stop-ms"], range) ?? 300,
  };
}

function milliseconds(
  flag: string,
  text: string | undefined,
  range: { readonly max: number },
): number | undefined {
  if (text === undefined) return undefined;
  if (/^\d{1,9}$/u.test(text) && Number(text) <= range.max) return Number(text);
  throw new Failure("FV-CLI-001", `${flag} takes 0 to ${range.max} milliseconds, not "${text}"`);
}

function capacityOf(text: string | undefined): Record<string, number> {
  const pairs = (text ?? "").split(",").filter((pair) => pair !== "");
  return Object.fromEntries(
    pairs.map((pair) => {
      const [, region = "", count = ""] = /^([a-z]{3})=(\d{1,6})$/u.exec(pair) ?? [];
      if (region !== "") return [region, Number(count)];
      throw new Failure("FV-CLI-001", `--capacity takes REGION=N, not "${pair}"`, {
        fix: "for example --capacity ord=3,iad=0",
      });
    }),
  );
}

/** Its members are looked at when the calls are known that it may name. */
function readFaults(path: string): unknown {
  try {
    const text = readFileSync(path, "utf8");
    if (text.length > localLimits.requestBytesMax) throw new Error("it is too long");
    return JSON.parse(text);
  } catch (error) {
    throw new Failure("FV-CLI-001", `--faults ${path} cannot be read`, {
      because: error instanceof Error ? error.message : String(error),
    });
  }
}

/** Only loopback: machines run as this user, and whoever holds the token may start them. */
function parseListen(text: string): { hostname: string; port: number } {
  const match = /^(127(?:\.\d{1,3}){3}|localhost):(\d{1,5})$/u.exec(text);
  const port = Number(match?.[2]);
  if (match?.[1] === undefined || port > 65_535) {
    throw new Failure("FV-CLI-001", `--listen takes a loopback address and port, not "${text}"`, {
      fix: "for example --listen 127.0.0.1:4280",
    });
  }
  return { hostname: match[1], port };
}

function checked(flag: string, value: string, shape: RegExp): string {
  if (shape.test(value)) return value;
  throw new Failure("FV-CLI-001", `${flag} "${value}" is not in Fly's form`, {
    because: `it must match ${shape.source}`,
  });
}

function evidencePace(text: string | undefined): { perSecond: number; burst: number } | undefined {
  const perSecond = Number(text ?? "1");
  if (!Number.isFinite(perSecond) || perSecond < 0 || text === "") {
    throw new Failure("FV-CLI-001", `--evidence-rate takes a number, not "${text}"`);
  }
  return perSecond === 0 ? undefined : { perSecond, burst: Math.max(3, Math.ceil(perSecond)) };
}
