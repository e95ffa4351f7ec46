import { randomBytes } from "node:crypto";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { Failure } from "../../cli/failure.ts";
import type { Log } from "../../system/log.ts";
import { ApiError } from "./api-error.ts";
import { answerRequest, type ApiServices, type CallServices } from "./api-listener.ts";
import { appRoutes } from "./app-routes.ts";
import { CallLog } from "./call-log.ts";
import type { Capacity } from "./capacity.ts";
import { faultReach, machineNames } from "./fault-reach.ts";
import { faultRoutes } from "./fault-routes.ts";
import { Faults } from "./faults.ts";
import { Fleet } from "./fleet.ts";
import { Host, type LocalHost } from "./host.ts";
import { type HttpCall, type HttpListener, listenHttp } from "./http-listener.ts";
import { Issuer } from "./issuer.ts";
import { issuerRoutes } from "./issuer-routes.ts";
import { leaseRoutes } from "./lease-routes.ts";
import { localLimits } from "./limits.ts";
import { machineRoutes } from "./machine-routes.ts";
import { machineRunRoutes } from "./machine-run-routes.ts";
import { metadataRoutes } from "./metadata-routes.ts";
import { orgRoutes } from "./org-routes.ts";
import { Pacing } from "./pacing.ts";
import { platformRoutes } from "./platform-routes.ts";
import type { MachineRecord, StateRecord, VolumeRecord } from "./record.ts";
import { InstanceChoice, Replicas } from "./replicas.ts";
import type { Answer, Route } from "./router.ts";
import { SimulatedHost, type SimulatedTimes } from "./simulated-host.ts";
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
  /** Machines are records that change in such times, and run nothing. */
  readonly simulated?: SimulatedTimes | undefined;
  /** How long it takes until a client that did not write sees what was written; 0 when left out. */
  readonly lagMs?: number;
  /** How many machines may run at once, by region. */
  readonly capacity?: Capacity;
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
    const store = StateStore.open(options.stateDir, options.org, {
      log: options.log,
      lazyMs: options.simulated === undefined ? 0 : localLimits.lazySaveMs,
    });
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
  const calls = new CallLog();
  const faults = new Faults(routes, (staleMsMax) => fleet.rememberFor(staleMsMax));
  const common: CallServices = {
    faults,
    calls,
    machineNames: (match, body) => machineNames(fleet, match, body),
    faultReach: (match, call) => faultReach(fleet, match, call),
    log: options.log,
    wallMs: options.wallMs,
  };
  const { fleet, host } = openFleet(options, store, { ...common, routes, issuer: currentIssuer });
  routes.push(
    ...fleetRoutes(fleet, { ...options, org: store.state.org }),
    ...issuerRoutes(keys),
    ...faultRoutes(faults, calls, fleet),
  );
  installFaults(faults, options.faults);
  const services: ApiServices = {
    ...common,
    instances: (options.lagMs ?? 0) > 0 ? new InstanceChoice() : undefined,
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
  const endUpkeep = startUpkeep(fleet, host, store);
  return {
    apiBase,
    issuer: issuer.url,
    apiToken,
    faults,
    calls,
    machineCount: fleet.machines.filter((machine) => machine.isRunning).length,
    async close({ keepMachines }) {
      endUpkeep();
      // First, so that nobody starts what is about to be stopped.
      await server.close();
      if (!keepMachines) await fleet.stopAll();
      host.closeSockets();
      store.saveNow();
      unlock();
    },
  };
}

/** What has to be looked after now and again. Returns the way to end it. */
function startUpkeep(fleet: Fleet, host: LocalHost, store: StateStore): () => void {
  const upkeep = setInterval(() => {
    store.retryUnsaved();
    for (const machine of fleet.machines) if (machine.isRunning) host.trimLog(machine.record.id);
  }, localLimits.upkeepMs);
  const checking = setInterval(() => {
    const records = fleet.machines.map(({ record }) => record);
    host.pollChecks(records.filter(({ state }) => state === "started"));
  }, localLimits.checkMsMin);
  return () => {
    clearInterval(upkeep);
    clearInterval(checking);
  };
}

/** The machines' records with their past, and the computer they live on, or the semblance of one. */
function openFleet(
  options: LocalOptions,
  store: StateStore,
  late: CallServices & { readonly routes: readonly Route[]; readonly issuer: () => Issuer },
): { readonly fleet: Fleet; readonly host: LocalHost } {
  const past = { lagMs: options.lagMs ?? 0, nowMs: options.wallMs };
  const replicas = {
    machines: new Replicas<MachineRecord>(past),
    volumes: new Replicas<VolumeRecord>(past),
  };
  const common = {
    log: options.log,
    wallMs: options.wallMs,
    changed: (record: MachineRecord) => {
      replicas.machines.note(record);
      store.save();
    },
  };
  const host: LocalHost =
    options.simulated === undefined
      ? new Host({
          ...common,
          store,
          entrypoint: options.entrypoint,
          services: () => ({
            ...late,
            evidencePace: options.evidencePace,
            monotonicMs: options.monotonicMs,
            evidence: async (machine, audience) =>
              late.issuer().evidence(machine, fleet.app(machine.app), audience),
          }),
        })
      : new SimulatedHost({ ...common, times: options.simulated });
  const capacity = options.capacity ?? {};
  const fleet = new Fleet(store, host, { strictApps: options.strictApps, capacity, replicas });
  return { fleet, host };
}

function fleetRoutes(
  fleet: Fleet,
  options: { readonly region: string; readonly org: StateRecord["org"] },
): Route[] {
  return [
    ...appRoutes(fleet, options.org),
    ...orgRoutes(fleet, options.org),
    ...platformRoutes(fleet, options),
    ...machineRoutes(fleet, options),
    ...machineRunRoutes(fleet),
    ...leaseRoutes(fleet),
    ...metadataRoutes(fleet),
    ...volumeRoutes(fleet, options),
  ];
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
