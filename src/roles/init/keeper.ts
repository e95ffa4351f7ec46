import { chmodSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Context } from "../../cli/context.ts";
import { version } from "../../cli/program.ts";
import { protocolVersion } from "../../protocol/limits.ts";
import type { Status } from "../../protocol/message.ts";
import type { Log } from "../../system/log.ts";
import { syncDisks } from "../../system/process.ts";
import { Rest } from "../../system/rest.ts";
import { programOnDisk } from "../../system/self.ts";
import { type Listening, listenUnix } from "../../system/tcp-stream.ts";
import { admissionStatus } from "./admission-status.ts";
import { raiseFirewall } from "./firewall.ts";
import { GuestForwards } from "./guest-forwards.ts";
import { assembleGuest, type Guest } from "./guest.ts";
import { IdleStop } from "./idle/idle-stop.ts";
import { trafficFileIn } from "./idle/traffic-mark.ts";
import { protectKeeper } from "./keeper-protection.ts";
import { type KeeperServices, serveStream } from "./keeper-server.ts";
import { endLeftovers } from "./leftovers.ts";
import { initLimits } from "./limits.ts";
import { type LinkPlan, linkPlanVersion } from "./link-plan.ts";
import { LinkSupervisor } from "./link-supervisor.ts";
import { LiveRootfs } from "./live-rootfs.ts";
import { machineReport } from "./machine-report.ts";
import type { InitOptions } from "./options.ts";
import { servePorts } from "./ports/ports-stream.ts";
import { markProven } from "./provision/provision.ts";
import { dataLayout } from "./provision/data-layout.ts";
import { repairAtBoot } from "./provision/repair.ts";
import { Provisioning } from "./provisioning.ts";
import type { RecentLog } from "./recent-log.ts";
import { type Secrets, takeSecrets } from "./secrets.ts";
import type { Session } from "./session.ts";
import { type SshPlan, sshSocketIn } from "./ssh/ssh-plan.ts";
import { serveSshSide } from "./ssh/ssh-requests.ts";
import { SshSupervisor } from "./ssh/ssh-supervisor.ts";

/** The machine's boot, top to bottom, and its end. */
export async function runKeeper(
  options: InitOptions,
  context: Context,
  { log, recentLog }: { readonly log: Log; readonly recentLog: RecentLog },
): Promise<number> {
  const stopAsked = nextStop(context);
  const startedMs = context.monotonicMs();
  const secrets = takeSecrets(context.env);
  if (secrets.login === undefined)
    log("error", "logins-refused", { because: "ACCESS_TOKEN is not set, or not usable" });
  protectKeeper(log);

  const { dataDir } = options;
  const found = await repairVolume(dataDir, log);
  await endLeftovers(dataDir, log);

  const admission = admissionStatus(secrets);
  const firewall = await raiseFirewall(options, log);
  const keeperSocket = prepareSocket(options.runDir);
  const link = superviseLink(options, keeperSocket, secrets, log);
  const guest = assembleGuest(options, context, log);
  const ssh = superviseSsh(options, { keeperSocket, guest, log });
  const { workload, sessions } = guest;
  const onProven = (): void => void markProven(dataDir, log);
  const live = new LiveRootfs({ dataDir, workload, log, onProven }, found);
  const status = (): Status => ({
    vm_state: provisioning.state,
    runtime: workload.runtime,
    ...live.status,
    ...versions(link),
    ...firewall.status,
    ...admission,
  });
  const provisioning = new Provisioning({ dataDir, live, status, log });
  const forwards = GuestForwards.of(workload);
  const idle = idleStop(options, { guest, provisioning, log }, context);
  const server = openServer(keeperSocket, {
    ...guestServices(guest),
    status,
    provision: async (frames, request) => provisioning.serve(frames, request),
    sshSide: async (frames, request) => serveSshSide(frames, request, { guest, ssh }),
    cancelProvision: async (id) => provisioning.cancel(id),
    recentLog: (lines) => recentLog.last(lines),
    report: () => machineReport({ dataDir, sessions, startedMs, idle }, context),
    forwards,
    log,
  });

  link.start();
  context.onStop((signal) => {
    if (signal === "SIGHUP") link.replace();
  });
  if (found.rootfs) await live.boot();
  idle?.start();
  log("info", "ready", { vm_state: status().vm_state, runtime: workload.runtime });

  const reason = await Promise.race([stopAsked, guest.poweredOff]);
  log("info", "stopping", { reason });
  provisioning.close();
  live.close();
  await Promise.all([link.stop(), ssh.stop(), workload.close()]);
  await firewall.lower();
  server.close();
  forwards.close();
  guest.close();
  rmSync(keeperSocket, { force: true });
  syncDisks();
  log("info", "stopped");
  return 0;
}

async function repairVolume(dataDir: string, log: Log): ReturnType<typeof repairAtBoot> {
  mkdirSync(dataDir, { recursive: true });
  return repairAtBoot(dataDir, log);
}

/** What clients ask of what runs in the machine. */
function guestServices(
  guest: Guest,
): Pick<KeeperServices, "workloadSettled" | "sessions" | "files" | "powerOff" | "ports"> {
  return {
    workloadSettled: async () => guest.workload.settled(),
    sessions: guest.sessions,
    files: async (frames, { user }) =>
      guest.processes.serve(frames, { program: "files", user: user ?? "root" }),
    powerOff: () => guest.powerOff(),
    ports: async (frames, { session }) => {
      const isMeant = ({ id, name }: Session): boolean => session === id || session === name;
      const pid = (): number | undefined => guest.sessions.running.find(isMeant)?.program.pid;
      return servePorts(frames, guest.ports, session === undefined ? () => undefined : pid);
    },
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

function prepareSocket(runDir: string): string {
  mkdirSync(runDir, { recursive: true, mode: 0o700 });
  chmodSync(runDir, 0o700);
  const path = join(runDir, "keeper.sock");
  rmSync(path, { force: true });
  return path;
}

function superviseLink(
  options: InitOptions,
  keeperSocket: string,
  secrets: Secrets,
  log: Log,
): LinkSupervisor {
  const { listen, apiSocket, runDir, app, machineId, logLevel, linkProgram } = options;
  const plan: LinkPlan = {
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
  return new LinkSupervisor({
    plan,
    secrets,
    programOnDisk: linkProgram === undefined ? programOnDisk : [linkProgram],
    log,
  });
}

function openServer(keeperSocket: string, services: KeeperServices): Listening {
  const rest = new Rest({ afterMs: initLimits.restAfterMs });
  const server = listenUnix(keeperSocket, {
    connectionsMax: initLimits.keeperConnectionsMax,
    onConnection: (stream) => void serveStream(stream, services).finally(rest.request()),
  });
  chmodSync(keeperSocket, 0o600);
  return server;
}

function superviseSsh(
  options: InitOptions,
  {
    keeperSocket,
    guest,
    log,
  }: { readonly keeperSocket: string; readonly guest: Guest; readonly log: Log },
): SshSupervisor {
  const { dataDir, runDir, logLevel } = options;
  const plan: SshPlan = {
    keeperPid: process.pid,
    keeperSocket,
    sshSocket: sshSocketIn(runDir),
    hostKey: dataLayout(dataDir).sshHostKey,
    logLevel,
  };
  const ssh = new SshSupervisor(plan, log);
  guest.workload.onStopping(() => ssh.workloadStops());
  guest.workload.onEnded(() => ssh.workloadStops());
  return ssh;
}

/** Undefined where the machine runs until it is told to stop. */
function idleStop(
  { idleStopMs, runDir }: InitOptions,
  { guest, provisioning, log }: { guest: Guest; provisioning: Provisioning; log: Log },
  { monotonicMs }: Context,
): IdleStop | undefined {
  if (idleStopMs === undefined) return undefined;
  return new IdleStop(idleStopMs, {
    sessions: guest.sessions,
    isProvisioning: () => provisioning.state === "provisioning",
    trafficFile: trafficFileIn(runDir),
    powerOff: () => guest.powerOff(),
    monotonicMs,
    log,
  });
}

function versions(
  link: LinkSupervisor,
): Pick<Status, "init_version" | "link_version" | "protocol_oldest" | "protocol_newest"> {
  return {
    init_version: version,
    ...(link.version === undefined ? {} : { link_version: link.version }),
    protocol_oldest: protocolVersion.oldest,
    protocol_newest: protocolVersion.newest,
  };
}
