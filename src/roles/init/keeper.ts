import { chmodSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { totalmem } from "node:os";
import { join } from "node:path";
import type { Context } from "../../cli/context.ts";
import { version } from "../../cli/program.ts";
import { limits, protocolVersion } from "../../protocol/limits.ts";
import type { SessionOpenRequest, Status } from "../../protocol/message.ts";
import type { Log } from "../../system/log.ts";
import { dropFromBoundingSet, forbidInspection, syncDisks } from "../../system/process.ts";
import { ChildReaper } from "../../system/reaper.ts";
import { listenUnix } from "../../system/tcp-stream.ts";
import { raiseFirewall } from "./firewall.ts";
import { serveStream } from "./keeper-server.ts";
import { endLeftovers } from "./leftovers.ts";
import { initLimits } from "./limits.ts";
import type { LinkPlan } from "./link-plan.ts";
import { LinkSupervisor } from "./link-supervisor.ts";
import { LiveRootfs } from "./live-rootfs.ts";
import { takeLoginKey } from "./login-key.ts";
import type { InitOptions } from "./options.ts";
import { OutOfMemory } from "./out-of-memory.ts";
import { markProven } from "./provision/provision.ts";
import { repairAtBoot } from "./provision/repair.ts";
import { Provisioning } from "./provisioning.ts";
import { type SessionProcess, startSession } from "./session-process.ts";
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

  const firewall = await raiseFirewall(options, log);
  const memory = new OutOfMemory(log);
  memory.start();
  const reaper = new ChildReaper(memory.explainsKill);
  const poweredOff = Promise.withResolvers<"power-off">();
  const onPowerOff = (): void => poweredOff.resolve("power-off");
  const workload = new Workload({ dataDir, hostname, stopGraceMs, reaper, log, onPowerOff });
  const sessions = new SessionTable({
    start: (request) => {
      const started = startSession(workload.running, request, reaper);
      void memory.follow(namesOf(request, started), started.ended);
      return started;
    },
    ringBytes: options.ringBytes,
    ringsBytesMax: options.ringsBytesMax ?? ringsBytesFor(options.ringBytes),
    randomId: () => crypto.randomUUID(),
    wallMs: context.wallMs,
  });
  workload.onStopping(() => sessions.hangUpAll());

  const status = (): Status => ({ ...statusOf(workload, live, provisioning), ...firewall.status });
  const live = new LiveRootfs(
    { dataDir, workload, log, onProven: () => void markProven(dataDir, log) },
    found,
  );
  const provisioning = new Provisioning({ dataDir, live, status, log });
  const keeperSocket = prepareSocket(options.runDir);
  const server = listenUnix(keeperSocket, {
    connectionsMax: initLimits.keeperConnectionsMax,
    onConnection: (stream) =>
      void serveStream(stream, {
        status,
        workloadSettled: async () => workload.settled(),
        sessions,
        provision: async (frames, request) => provisioning.serve(frames, request),
        cancelProvision: async (id) => provisioning.cancel(id),
        log,
      }),
  });
  chmodSync(keeperSocket, 0o600);

  const link = new LinkSupervisor(linkPlan(options, keeperSocket), loginKey, log);
  link.start();
  if (found.rootfs) await live.boot();
  log("info", "ready", { vm_state: status().vm_state, runtime: workload.runtime });

  const reason = await Promise.race([stopAsked, poweredOff.promise]);
  log("info", "stopping", { reason });
  provisioning.close();
  live.close();
  await Promise.all([link.stop(), workload.close()]);
  await firewall.lower();
  memory.stop();
  server.close();
  sessions.close();
  rmSync(keeperSocket, { force: true });
  syncDisks();
  log("info", "stopped");
  return 0;
}

/** Unless told otherwise: what the machine can spare, and one ring at least. */
function ringsBytesFor(ringBytes: number): number {
  return Math.max(ringBytes, Math.min(limits.ringsBytesMax, Math.floor(totalmem() / 8)));
}

function linkPlan(options: InitOptions, keeperSocket: string): LinkPlan {
  const { listen, apiSocket, runDir, app, machineId, logLevel } = options;
  return {
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

async function nextStop(context: Context): Promise<string> {
  return new Promise((resolve) => {
    const unsubscribe = context.onStop((signal) => {
      unsubscribe();
      resolve(signal);
    });
  });
}

function statusOf(workload: Workload, live: LiveRootfs, provisioning: Provisioning): Status {
  const { digest, rolledBack } = live;
  return {
    vm_state: provisioning.state,
    runtime: workload.runtime,
    init_version: version,
    protocol_oldest: protocolVersion.oldest,
    protocol_newest: protocolVersion.newest,
    ...(digest === undefined ? {} : { rootfs_sha256: digest }),
    ...(rolledBack === undefined ? {} : { rolled_back: rolledBack }),
  };
}

function namesOf(
  request: SessionOpenRequest,
  { argv }: SessionProcess,
): Readonly<Record<string, string>> {
  const { id, name } = request;
  return { session: id, ...(name === undefined ? {} : { name }), program: argv[0] ?? "" };
}

/**
 * Root inside the workload is root for the kernel. Without these it cannot look into our memory (a
 * new session shares it for the moment before its program runs), load code into the kernel or reach
 * around it to the hardware. A debugger on one's own programs needs none of them.
 */
function protectFromWorkload(log: Log): void {
  const { sysPtrace, sysModule, sysRawio } = capability;
  attempt("capabilities", log, () => dropFromBoundingSet([sysPtrace, sysModule, sysRawio]));
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

const capability = { sysModule: 16, sysRawio: 17, sysPtrace: 19 } as const;

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
