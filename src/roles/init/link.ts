import { readSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { Context } from "../../cli/context.ts";
import { version } from "../../cli/program.ts";
import { mintEvidence } from "../../fly/evidence.ts";
import { expandLoginKey } from "../../fly/token.ts";
import { FrameStream } from "../../protocol/frame.ts";
import { request, type Status, statusSchema } from "../../protocol/message.ts";
import { selfSignedCertificate } from "../../quic/certificate.ts";
import { closeCodes } from "../../quic/connection.ts";
import { Endpoint } from "../../quic/endpoint.ts";
import type { Log, LogLevel } from "../../system/log.ts";
import { dieWithParent, forbidInspection } from "../../system/process.ts";
import { DescriptorReader } from "../../system/process-pipe.ts";
import { Rest } from "../../system/rest.ts";
import { connectUnix } from "../../system/tcp-stream.ts";
import { HeldUpStarts } from "./held-up-start.ts";
import { initLimits } from "./limits.ts";
import { linkAdmission } from "./link-admission.ts";
import { listenAddresses } from "./link-address.ts";
import { LinkClients } from "./link-clients.ts";
import {
  decodeLinkKeys,
  decodeLinkPlan,
  linkKeyFd,
  type LinkKeys,
  linkKeysBytesMax,
  type LinkPlan,
  type LinkReport,
  linkReportFd,
} from "./link-plan.ts";
import { LinkStreams } from "./link-stream.ts";
import { LoginGate } from "./login-gate.ts";

/**
 * `init link PLAN`: everything that faces the network. Holds no session: when it dies, the keeper
 * starts another one, and clients come back to what they had.
 */
export async function runLink(
  planJson: string,
  context: Context,
  logAt: (level: LogLevel) => Log,
): Promise<number> {
  try {
    const plan = decodeLinkPlan(planJson);
    if (!dieWithParent(plan.keeperPid)) return 0;
    await serve(plan, context, logAt(plan.logLevel));
    return 0;
  } catch (error) {
    report({ kind: "failed", message: error instanceof Error ? error.message : String(error) });
    return 1;
  }
}

async function serve(plan: LinkPlan, context: Context, log: Log): Promise<void> {
  forbidInspection();
  // Not as safe as the keeper, from which we have it: should clients make us grow, we go and not a shell.
  writeFileSync("/proc/self/oom_score_adj", "0");
  const stopped = new Promise<string>((resolve) => {
    context.onStop(resolve);
  });
  const keys = readKeys();
  const gate = loginGate(plan, keys.login, context, log);
  const server = selfSignedCertificate();
  const admission = linkAdmission(keys, context.wallMs);
  report({ kind: "ready", version });
  if ((await Promise.race([toldToListen(), stopped])) !== "go") return;

  const endpoints: Endpoint[] = [];
  for (const bind of await listenAddresses(plan.listen))
    endpoints.push(await Endpoint.open({ ...admission.options, bind, server, log }));
  const addresses = endpoints.map((endpoint) => addressText(endpoint.address));
  // For those on this machine who let the system choose the port.
  writeFileSync(join(plan.runDir, "listening"), `${addresses.join("\n")}\n`, { mode: 0o600 });
  for (const address of addresses)
    log("info", "listening", { address, admission: admission.summary });
  const heldUp = new HeldUpStarts(plan.keeperPid, log);
  const rest = new Rest({
    afterMs: initLimits.restAfterMs,
    onWork: () => heldUp.start(),
    onRest: () => heldUp.stop(),
  });
  const streams = new LinkStreams(plan.keeperSocket, log, () => rest.request());
  const clients = new LinkClients(gate, streams, initLimits.clientConnectionsMax);
  for (const endpoint of endpoints) void clients.acceptFrom(endpoint);
  report({ kind: "listening" });
  const goodbye = (await stopped) === "SIGHUP" ? comeBack : undefined;
  await Promise.all(endpoints.map((endpoint) => endpoint.close(goodbye)));
}

/** Another link takes over: nothing is wrong, and nothing ends but this connection. */
const comeBack = { code: closeCodes.done, reason: "the link is being replaced" } as const;

function loginGate(
  plan: LinkPlan,
  loginKey: Uint8Array | undefined,
  context: Context,
  log: Log,
): LoginGate | undefined {
  if (loginKey === undefined) return undefined;
  const machine = { appName: plan.app, machineId: plan.machineId };
  const { apiSocket, keeperSocket } = plan;
  return new LoginGate({
    machine,
    keys: expandLoginKey(loginKey),
    mint: (audience) => mintEvidence({ apiSocket, audience, machine }),
    // Only for clients that proved themselves: strangers cost the keeper nothing.
    status: () => keeperStatus(keeperSocket),
    monotonicMs: context.monotonicMs,
    randomBytes: context.randomBytes,
    log,
  });
}

async function keeperStatus(socket: string): Promise<Status> {
  const stream = await connectUnix(socket, initLimits.keeperConnectMs);
  const status = await request(new FrameStream(stream), { type: "status" }, statusSchema);
  await stream.end();
  return status;
}

/** The keeper has written them before we were started. */
function readKeys(): LinkKeys {
  const bytes = new Uint8Array(linkKeysBytesMax);
  const length = readSync(linkKeyFd, bytes);
  return decodeLinkKeys(bytes.subarray(0, length));
}

/** Resolves with "go"; or with nothing when the keeper is gone. */
async function toldToListen(): Promise<string | undefined> {
  const reader = new DescriptorReader(linkKeyFd);
  try {
    return (await reader.read()) === null ? undefined : "go";
  } finally {
    reader.close();
  }
}

function report(line: LinkReport): void {
  writeSync(linkReportFd, `${JSON.stringify(line)}\n`);
}

function addressText(address: { readonly host: string; readonly port: number }): string {
  return address.host.includes(":")
    ? `[${address.host}]:${address.port}`
    : `${address.host}:${address.port}`;
}
