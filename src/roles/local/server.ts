import { randomBytes } from "node:crypto";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { Failure } from "../../cli/failure.ts";
import type { Log } from "../../system/log.ts";
import { answerRequest } from "./api-listener.ts";
import { appRoutes } from "./app-routes.ts";
import { Fleet } from "./fleet.ts";
import { Host } from "./host.ts";
import { Issuer } from "./issuer.ts";
import { issuerRoutes } from "./issuer-routes.ts";
import { leaseRoutes } from "./lease-routes.ts";
import { localLimits } from "./limits.ts";
import { machineRoutes } from "./machine-routes.ts";
import { machineRunRoutes } from "./machine-run-routes.ts";
import { metadataRoutes } from "./metadata-routes.ts";
import { Pacing } from "./pacing.ts";
import type { Route } from "./router.ts";
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
  readonly log: Log;
  readonly wallMs: () => number;
  readonly monotonicMs: () => number;
}

export interface LocalServer {
  readonly apiBase: string;
  readonly issuer: string;
  readonly apiToken: string;
  readonly machineCount: number;
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
  const services = {
    ...options,
    routes,
    apiToken,
    issuer: currentIssuer,
    pacing: options.paced ? new Pacing(options.monotonicMs) : undefined,
  };
  const server = listen(options, store.state.port, async (request) => {
    return answerRequest(request, services);
  });
  store.state.port = server.port ?? 0;
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
    machineCount: fleet.machines.filter((machine) => machine.isRunning).length,
    async close({ keepMachines }) {
      clearInterval(upkeep);
      // First, so that nobody starts what is about to be stopped.
      await server.stop(true);
      if (!keepMachines) await fleet.stopAll();
      host.closeSockets();
      unlock();
    },
  };
}

type Listener = ReturnType<typeof Bun.serve>;

/** On the port that was asked for; without one, on that of the last run, since the issuer's URL holds it. */
function listen(
  options: LocalOptions,
  lastPort: number | undefined,
  fetch: (request: Request) => Promise<Response>,
): Listener {
  const ports = options.port === 0 ? [lastPort ?? 0, 0] : [options.port];
  let problem: unknown;
  for (const port of ports) {
    try {
      return Bun.serve({
        hostname: options.hostname,
        port,
        maxRequestBodySize: localLimits.requestBytesMax,
        // Longer than the longest wait.
        idleTimeout: localLimits.waitSecondsMax + 30,
        fetch,
      });
    } catch (error) {
      problem = error;
    }
  }
  throw new Failure("FV-SYS-001", `cannot listen on ${options.hostname}:${options.port}`, {
    because: problem instanceof Error ? problem.message : String(problem),
    fix: "another fly-local may hold the port; pass --listen with another one",
  });
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
