import { randomBytes } from "node:crypto";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { Failure } from "../../cli/failure.ts";
import type { Log } from "../../system/log.ts";
import { ApiError } from "./api-error.ts";
import { answerRequest } from "./api-listener.ts";
import { appRoutes } from "./app-routes.ts";
import { CallLog } from "./call-log.ts";
import { faultReach, machineNames } from "./fault-reach.ts";
import { faultRoutes } from "./fault-routes.ts";
import { Faults } from "./faults.ts";
import { Fleet } from "./fleet.ts";
import { Host } from "./host.ts";
import { type HttpCall, type HttpListener, listenHttp } from "./http-listener.ts";
import { Issuer } from "./issuer.ts";
import { issuerRoutes } from "./issuer-routes.ts";
import { leaseRoutes } from "./lease-routes.ts";
import { localLimits } from "./limits.ts";
import { machineRoutes } from "./machine-routes.ts";
import { machineRunRoutes } from "./machine-run-routes.ts";
import { metadataRoutes } from "./metadata-routes.ts";
import { Pacing } from "./pacing.ts";
import type { Answer, ApiCall, Match, Route } from "./router.ts";
import { SigningKeys } from "./signing-key.ts";
import { lockState } from "./state-lock.ts";
import { readIfThere, StateStore, writePrivate } from "./state-store.ts";
import { volumeRoutes } from "./volume-routes.ts";

export interface LocalOptions {
  readonly stateDir: string;
  readonly hostname: string;
  /** 0: the port of the last run, else any. */
  readonly port: number;
  readonly org: string;
  readonly region: string;
  /** What runs as a machine's entrypoint. */
  readonly entrypoint: readonly string[];
  readonly evidencePace: { readonly perSecond: number; readonly burst: number } | undefined;
  readonly paced: boolean;
  readonly strictApps: boolean;
  /** What goes wrong on purpose from the start, as `parseFaultScript` reads it. */
  readonly faults?: unknown;
  readonly log: Log;
  readonly wallMs: () => number;
  readonly monotonicMs: () => number;
}

export interface LocalServer {
  readonly apiBase: string;
  readonly issuer: string;
  readonly apiToken: string;
  readonly machineCount: number;
  /** What goes wrong on purpose; may be changed while it runs. */
  readonly faults: Faults;
  readonly calls: CallLog;
  /** Ends the listener. Machines are stopped in order, or left running. */
  close(options: { readonly keepMachines: boolean }): Promise<void>;
}

/** A small Fly: state, machines and listener, up when this resolves. */
export async function startLocal(options: LocalOptions): Promise<LocalServer> {
  mkdirSync(options.stateDir, { recursive: true, mode: 0o700 });
  const unlock = lockState(options.stateDir);
  try {
    const store = StateStore.open(options.stateDir, options.org, options.log);
    return await startLocked(options, store, unlock);
  } catch (error) {
    unlock();
    throw error;
  }
}

async function startLocked(
  options: LocalOptions,
  store: StateStore,
  unlock: () => void,
): Promise<LocalServer> {
  const keys = await SigningKeys.open(options.stateDir);
  const apiToken = openApiToken(options.stateDir);
  let issuer: Issuer | undefined;
  const currentIssuer = (): Issuer => {
    if (issuer === undefined) throw new Error("The issuer is not up yet");
    return issuer;
  };
  const routes: Route[] = [];
  const host = new Host({
    store,
    entrypoint: options.entrypoint,
    services: () => ({
      ...options,
      routes,
      evidence: async (machine, audience) =>
        currentIssuer().evidence(machine, fleet.app(machine.app), audience),
    }),
    log: options.log,
    wallMs: options.wallMs,
  });
  const fleet = new Fleet(store, host, { strictApps: options.strictApps });
  routes.push(
    ...appRoutes(fleet, store.state.org),
    ...machineRoutes(fleet, options),
    ...machineRunRoutes(fleet),
    ...leaseRoutes(fleet),
    ...metadataRoutes(fleet),
    ...volumeRoutes(fleet, options),
    ...issuerRoutes(keys),
  );
  const faults = new Faults(routes);
  const calls = new CallLog();
  routes.push(...faultRoutes(faults, calls));
  installFaults(faults, options.faults);
  const services = {
    ...options,
    faults,
    calls,
    machineNames: (match: Match, body: unknown) => machineNames(fleet, match, body),
    faultReach: (match: Match, call: ApiCall) => faultReach(fleet, match, call, options.wallMs()),
    routes,
    apiToken,
    issuer: currentIssuer,
    pacing: options.paced ? new Pacing(options.monotonicMs) : undefined,
  };
  const server = await listen(options, store.state.port, async (call) =>
    answerRequest(call, services),
  );
  store.state.port = server.port;
  const apiBase = `http://${options.hostname}:${server.port}`;
  issuer = new Issuer({ ...options, apiBase, org: store.state.org, keys });
  fleet.recover();
  for (const machine of fleet.machines) if (machine.isRunning) host.keepSocket(machine.record);
  const upkeep = setInterval(() => {
    store.retryUnsaved();
    for (const machine of fleet.machines) if (machine.isRunning) host.trimLog(machine.record.id);
  }, localLimits.upkeepMs);
  return {
    apiBase,
    issuer: issuer.url,
    apiToken,
    faults,
    calls,
    machineCount: fleet.machines.filter((machine) => machine.isRunning).length,
    async close({ keepMachines }) {
      clearInterval(upkeep);
      // First, so that nobody starts what is about to be stopped.
      await server.close();
      if (!keepMachines) await fleet.stopAll();
      host.closeSockets();
      unlock();
    },
  };
}

/** On the port that was asked for; without one, on that of the last run, since the issuer's URL holds it. */
async function listen(
  options: LocalOptions,
  lastPort: number | undefined,
  handle: (call: HttpCall) => Promise<Answer>,
): Promise<HttpListener> {
  const ports = options.port === 0 ? [lastPort ?? 0, 0] : [options.port];
  let problem: unknown;
  for (const port of ports) {
    try {
      return await listenHttp({ hostname: options.hostname, port, handle });
    } catch (error) {
      problem = error;
    }
  }
  throw new Failure("FV-SYS-001", `cannot listen on ${options.hostname}:${options.port}`, {
    because: problem instanceof Error ? problem.message : String(problem),
    fix: "another fly-local may hold the port; pass --listen with another one",
  });
}

function installFaults(faults: Faults, script: unknown): void {
  if (script === undefined) return;
  try {
    faults.installUnknown(script);
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    throw new Failure("FV-CLI-001", "the fault script is wrong", { because: error.message });
  }
}

/** Made once and kept in a file of its own, for scripts to read. */
function openApiToken(stateDir: string): string {
  const path = join(stateDir, "api-token");
  const known = readIfThere(path)?.trim() ?? "";
  if (known !== "") return known;
  const token = `fm2_local_${randomBytes(24).toString("base64url")}`;
  writePrivate(path, `${token}\n`);
  return token;
}
