import { rmSync, writeFileSync, writeSync } from "node:fs";
import * as v from "valibot";
import type { Context } from "../../../cli/context.ts";
import type { ByteStream } from "../../../protocol/byte-stream.ts";
import { StreamError } from "../../../protocol/byte-stream.ts";
import { ProtocolError, RemoteError, WireError } from "../../../protocol/errors.ts";
import { FrameStream } from "../../../protocol/frame.ts";
import { decodeRequest, sendError } from "../../../protocol/message.ts";
import type { Log, LogLevel } from "../../../system/log.ts";
import { dieWithParent, forbidInspection } from "../../../system/process.ts";
import { listenUnix } from "../../../system/tcp-stream.ts";
import { late, within } from "../../../system/within.ts";
import { initLimits } from "../limits.ts";
import { AgentSockets } from "./agent-sockets.ts";
import { serveAgent } from "./agent-stream.ts";
import { GuestView } from "./guest-view.ts";
import { hostKeyAt } from "./host-key.ts";
import { sshLimits } from "./limits.ts";
import { SshConnections } from "./ssh-connections.ts";
import { sshPlanSchema } from "./ssh-plan.ts";
import { untilIdle } from "./until-idle.ts";
import { SshServer } from "./ssh-server.ts";

/**
 * `init ssh PLAN`: speaks SSH with clients that have logged in to the link, which hands their streams
 * on. Started by the keeper when the first one asks; it ends when there was none for a while.
 */
export async function runSsh(
  planJson: string,
  context: Context,
  logAt: (level: LogLevel) => Log,
): Promise<number> {
  const plan = v.parse(sshPlanSchema, JSON.parse(planJson));
  if (!dieWithParent(plan.keeperPid)) return 0;
  forbidInspection();
  // Should clients make us grow, we go and not a shell.
  writeFileSync("/proc/self/oom_score_adj", "0");
  const log = logAt(plan.logLevel);
  const { privateKey, publicKey } = await hostKeyAt(plan.hostKey);
  const guest = new GuestView(plan.keeperSocket);
  const agents = new AgentSockets(guest);
  const server = new SshServer({ privateKey, keeperSocket: plan.keeperSocket, guest, agents, log });
  const connections = new SshConnections(publicKey, (transport) => server.serve(transport));
  // The keeper says so when what runs there is about to be replaced.
  context.onStop(() => {
    guest.forget();
    agents.workloadGone();
  });
  rmSync(plan.sshSocket, { force: true });
  const listening = listenUnix(plan.sshSocket, {
    connectionsMax: 2 * sshLimits.connectionsMax,
    onConnection: (stream) => void serve(stream, { connections, guest, agents }, log),
  });
  writeSync(1, "listening\n");
  await untilIdle(() => connections.size > 0 || agents.size > 0);
  listening.close();
  return 0;
}

interface Services {
  readonly connections: SshConnections;
  readonly guest: GuestView;
  readonly agents: AgentSockets;
}

async function serve(stream: ByteStream, services: Services, log: Log): Promise<void> {
  const frames = new FrameStream(stream);
  try {
    const first = await within(frames.read(), initLimits.firstFrameMs);
    if (first === late || first === null) throw new ProtocolError("No request came");
    const request = decodeRequest(first);
    if (request.type === "ssh") await services.connections.serve(frames, request);
    else if (request.type === "agent") await serveAgent(frames, request, services);
    else throw new RemoteError("unsupported", "Only SSH and agents are served here");
    await stream.end();
  } catch (error) {
    if (error instanceof StreamError) stream.abort(0);
    else await refuse(frames, asRemoteError(error, log));
  }
}

function asRemoteError(error: unknown, log: Log): RemoteError {
  if (error instanceof RemoteError) return error;
  if (error instanceof WireError || error instanceof ProtocolError)
    return new RemoteError("bad-request", error.message);
  log("error", "ssh-failed", { detail: error instanceof Error ? error.stack : String(error) });
  return new RemoteError("internal", "The machine could not do this; its log says why");
}

async function refuse(frames: FrameStream, error: RemoteError): Promise<void> {
  try {
    await sendError(frames, error);
    await frames.stream.end();
  } catch {
    frames.stream.abort(0);
  }
}
