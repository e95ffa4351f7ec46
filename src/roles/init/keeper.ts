import { chmodSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { totalmem } from "node:os";
import { join } from "node:path";
import type { Context } from "../../cli/context.ts";
import { version } from "../../cli/program.ts";
import { limits, protocolVersion } from "../../protocol/limits.ts";
import type { Status } from "../../protocol/message.ts";
import type { Log } from "../../system/log.ts";
import { dropFromBoundingSet, forbidInspection, syncDisks } from "../../system/process.ts";
import { ChildReaper } from "../../system/reaper.ts";
import { programOnDisk } from "../../system/self.ts";
import { listenUnix } from "../../system/tcp-stream.ts";
import { serveStream } from "./keeper-server.ts";
import { endLeftovers } from "./leftovers.ts";
import { initLimits } from "./limits.ts";
import { type LinkPlan, linkPlanVersion } from "./link-plan.ts";
import { LinkSupervisor } from "./link-supervisor.ts";
import { takeLoginKey } from "./login-key.ts";
import type { InitOptions } from "./options.ts";
import { repairAtBoot } from "./provision/repair.ts";
import { Provisioning } from "./provisioning.ts";
import { startSession } from "./session-process.ts";
import { SessionTable } from "./session-table.ts";
import { Workload } from "./workload.ts";

/** The machine's boot, top to bottom, and its end. */
export async function runKeeper(options: InitOptions, context: Context, log: Log): Promise<number> {
  const stopAsked = nextStop(context);
  const loginKey = takeLoginKey(context.env);
  if (loginKey === undefined)
    log("error", "logins-refused", { because: "ACCESS_TOKEN is not set, or not usable" });
  forbidInspection();
  protectFromWorkload(log);
  surviveMistakes(log);

  const { dataDir, hostname, stopGraceMs } = options;
  mkdirSync(dataDir, { recursive: true });
  const found = await repairAtBoot(dataDir, log);
  await endLeftovers(dataDir, log);

  const reaper = new ChildReaper();
  const workload = new Workload({ dataDir, hostname, stopGraceMs, reaper, log });
  const sessions = new SessionTable({
    start: (request) => startSession(workload.running, request, reaper),
    ringsBytesMax: Math.min(limits.ringsBytesMax, Math.floor(totalmem() / 8)),
    randomId: () => crypto.randomUUID(),
  });
  workload.onStopping(() => sessions.hangUpAll());

  const keeperSocket = prepareSocket(options.runDir);
  const link = new LinkSupervisor({
    plan: linkPlan(options, keeperSocket),
    loginKey,
    programOnDisk: options.linkProgram === undefined ? programOnDisk : [options.linkProgram],
    log,
  });
  context.onStop((signal) => {
    if (signal === "SIGHUP") link.replace();
  });
  const status = (): Status => statusOf(workload, provisioning, link);
  const provisioning = new Provisioning({ dataDir, workload, status, log }, found);
  const server = listenUnix(keeperSocket, {
    connectionsMax: initLimits.keeperConnectionsMax,
    onConnection: (stream) =>
      void serveStream(stream, {
        status,
        workloadSettled: async () => workload.settled(),
        sessions,
        provision: async (frames, request) => provisioning.serve(frames, request),
        log,
      }),
  });
  chmodSync(keeperSocket, 0o600);

  link.start();
  if (found.rootfs) await workload.keepRunning();
  log("info", "ready", { vm_state: status().vm_state, runtime: workload.runtime });

  const signal = await stopAsked;
  log("info", "stopping", { signal });
  provisioning.close();
  await Promise.all([link.stop(), workload.close()]);
  server.close();
  sessions.close();
  rmSync(keeperSocket, { force: true });
  syncDisks();
  log("info", "stopped");
  return 0;
}

function linkPlan(options: InitOptions, keeperSocket: string): LinkPlan {
  const { listen, apiSocket, runDir, app, machineId, logLevel } = options;
  return {
    planVersion: linkPlanVersion,
    listen,
    keeperPid: process.pid,
    keeperSocket,
    apiSocket,
    runDir,
    app,
    machineId,
    logLevel,
  };
}

/** SIGHUP is for the link. */
async function nextStop(context: Context): Promise<string> {
  return new Promise((resolve) => {
    const unsubscribe = context.onStop((signal) => {
      if (signal === "SIGHUP") return;
      unsubscribe();
      resolve(signal);
    });
  });
}

function statusOf(workload: Workload, provisioning: Provisioning, link: LinkSupervisor): Status {
  const { runtime } = workload;
  const { state, digest } = provisioning;
  return {
    vm_state: state,
    runtime,
    init_version: version,
    ...(link.version === undefined ? {} : { link_version: link.version }),
    protocol_oldest: protocolVersion.oldest,
    protocol_newest: protocolVersion.newest,
    ...(digest === undefined ? {} : { rootfs_sha256: digest }),
  };
}

/**
 * Root inside the workload is root for the kernel. Without these it cannot look into our memory (a
 * new session shares it for the moment before its program runs), load code into the kernel, reach
 * around it to the hardware, or open files of a disk by their numbers, past its own root. A debugger
 * on one's own programs needs none of them, and permissions are overridden by another one.
 */
function protectFromWorkload(log: Log): void {
  const { dacReadSearch, sysModule, sysPtrace, sysRawio } = capability;
  const forbidden = [dacReadSearch, sysModule, sysPtrace, sysRawio];
  attempt("capabilities", log, () => dropFromBoundingSet(forbidden));
  // The workload's processes are set back to 0 as they start: they go first.
  attempt("out-of-memory score", log, () => writeFileSync("/proc/self/oom_score_adj", "-900"));
}

function attempt(what: string, log: Log, protect: () => void): void {
  try {
    protect();
  } catch (error) {
    log("warn", "less-protected", { what, message: String(error) });
  }
}

const capability = { dacReadSearch: 2, sysModule: 16, sysRawio: 17, sysPtrace: 19 } as const;

/** A mistake in one callback must not end all shells. It is logged with its stack. */
function surviveMistakes(log: Log): void {
  const report = (error: unknown): void => {
    const detail = error instanceof Error ? (error.stack ?? error.message) : String(error);
    log("error", "mistake", { detail });
  };
  process.on("uncaughtException", report);
  process.on("unhandledRejection", report);
}

function prepareSocket(runDir: string): string {
  mkdirSync(runDir, { recursive: true, mode: 0o700 });
  chmodSync(runDir, 0o700);
  const path = join(runDir, "keeper.sock");
  rmSync(path, { force: true });
  return path;
}
