import type { ByteStream } from "../../protocol/byte-stream.ts";
import { StreamError } from "../../protocol/byte-stream.ts";
import { ProtocolError, RemoteError, WireError } from "../../protocol/errors.ts";
import { isForwardRequest } from "../../protocol/forward-message.ts";
import { FrameStream, frameTypes } from "../../protocol/frame.ts";
import {
  decodeRequest,
  encodeJson,
  type FilesRequest,
  type ProvisionRequest,
  type Report,
  type Request,
  sendError,
  type Status,
} from "../../protocol/message.ts";
import type { PortsRequest } from "../../protocol/ports-message.ts";
import { encodeSessionList } from "../../protocol/session-list.ts";
import type { Log } from "../../system/log.ts";
import { late, within } from "../../system/within.ts";
import type { GuestForwards } from "./guest-forwards.ts";
import { initLimits } from "./limits.ts";
import { serveSession } from "./session-stream.ts";
import type { SessionTable } from "./session-table.ts";
import { isSshSide, type SshSideRequest } from "./ssh/ssh-requests.ts";
import { waitForEnd } from "./session-wait.ts";

export interface KeeperServices {
  readonly status: () => Status;
  readonly workloadSettled: () => Promise<void>;
  readonly sessions: SessionTable;
  /** Serves the stream after the request, reply included. */
  readonly provision: (frames: FrameStream, request: ProvisionRequest) => Promise<void>;
  /** Serves the stream after the request, reply included. */
  readonly files: (frames: FrameStream, request: FilesRequest) => Promise<void>;
  /** Serves the stream after the request, reply included. */
  readonly sshSide: (frames: FrameStream, request: SshSideRequest) => Promise<void>;
  /** Whether it could still be cancelled. */
  readonly cancelProvision: (id: string) => Promise<boolean>;
  /** The last lines of our own log. */
  readonly recentLog: (lines: number) => string[];
  readonly report: () => Report;
  readonly powerOff: () => void;
  /** Serves the stream after the request, reply included. */
  readonly ports: (frames: FrameStream, request: PortsRequest) => Promise<void>;
  readonly forwards: GuestForwards;
  readonly log: Log;
}

/**
 * One stream of one client, from its first frame to its end. What it asks wrongly is answered by an
 * error frame on this stream; nothing a client sends reaches another stream. Never rejects.
 */
export async function serveStream(stream: ByteStream, services: KeeperServices): Promise<void> {
  const frames = new FrameStream(stream);
  try {
    await answer(frames, services);
    // Of a session whose client left, a write may wait for one who does not read.
    if ((await within(stream.end(), initLimits.partingMs)) === late) stream.abort(0);
  } catch (error) {
    await refuse(frames, error, services.log);
  }
  await seeOut(frames.stream);
}

/** All is said. One who never ends their half, or goes on talking, keeps no place here for it. */
async function seeOut(stream: ByteStream): Promise<void> {
  const endMs = performance.now() + initLimits.partingMs;
  try {
    for (;;) {
      const bytes = await within(stream.read(), Math.max(0, endMs - performance.now()));
      if (bytes === null) return;
      if (bytes === late) break;
    }
  } catch (error) {
    if (!(error instanceof StreamError)) throw error;
  }
  stream.abort(0);
}

async function answer(frames: FrameStream, services: KeeperServices): Promise<void> {
  const request = await readRequest(frames);
  if (request === null) return;
  if (isForwardRequest(request)) {
    await services.forwards.serve(frames, request);
    return;
  }
  if (isSshSide(request)) {
    await services.sshSide(frames, request);
    return;
  }
  const payload = await oneReply(request, services);
  if (payload !== undefined) {
    await reply(frames, payload);
    if (request.type === "power-off") services.powerOff();
    return;
  }
  await converse(frames, request, services);
}

/** What is answered and done with; undefined for what goes on. */
async function oneReply(
  request: Request,
  services: KeeperServices,
): Promise<Uint8Array | undefined> {
  switch (request.type) {
    case "status":
      return encodeJson(services.status());
    case "report":
      return encodeJson(services.report());
    case "sessions":
      return encodeSessionList(services.sessions.list());
    case "session-rename":
      services.sessions.rename(request);
      return encodeJson({});
    case "session-signal":
      services.sessions.signal(request);
      return encodeJson({});
    case "provision-cancel":
      return encodeJson({ cancelled: await services.cancelProvision(request.id) });
    case "init-log":
      return encodeJson({ lines: services.recentLog(request.lines) });
    case "power-off":
      return encodeJson({});
    default:
      return undefined;
  }
}

async function converse(
  frames: FrameStream,
  request: Request,
  services: KeeperServices,
): Promise<void> {
  switch (request.type) {
    case "session-wait": {
      const end = await waitForEnd(frames, request, services.sessions.find(request));
      if (end !== undefined) await reply(frames, encodeJson(end));
      return;
    }
    case "session-open":
    case "session-attach":
      await services.workloadSettled();
      await serveSession(frames, request, services.sessions);
      return;
    case "files":
      await services.workloadSettled();
      await services.files(frames, request);
      return;
    case "ports":
      await services.ports(frames, request);
      return;
    case "provision":
      await services.provision(frames, request);
      return;
    default:
      throw new RemoteError("unsupported", `"${request.type}" is not served here`);
  }
}

/** A list has up to a megabyte: it must not wait here for ever for one who does not read. */
async function reply(frames: FrameStream, payload: Uint8Array): Promise<void> {
  const written = await within(frames.write(frameTypes.ok, payload), initLimits.replyMs);
  if (written !== late) return;
  frames.stream.abort(0);
  throw new StreamError("aborted", "Nobody read the reply");
}

async function readRequest(frames: FrameStream): Promise<Request | null> {
  const frame = await within(frames.read(), initLimits.firstFrameMs);
  if (frame === late) throw new ProtocolError("No request came");
  if (frame === null) return null;
  return decodeRequest(frame);
}

async function refuse(frames: FrameStream, error: unknown, log: Log): Promise<void> {
  // Whoever is gone needs no answer.
  if (error instanceof StreamError) return;
  const remote = asRemoteError(error);
  if (remote.code === "internal") {
    const detail = error instanceof Error ? (error.stack ?? error.message) : String(error);
    log("error", "request failed", { detail });
  }
  try {
    await sendError(frames, remote);
    await frames.stream.end();
  } catch {
    frames.stream.abort(0);
  }
}

function asRemoteError(error: unknown): RemoteError {
  if (error instanceof RemoteError) return error;
  if (error instanceof WireError || error instanceof ProtocolError)
    return new RemoteError("bad-request", error.message);
  return new RemoteError("internal", "The machine could not do this; its log says why");
}
