import { dirname } from "node:path";
import * as v from "valibot";
import type { ByteStream } from "../../protocol/byte-stream.ts";
import { StreamError } from "../../protocol/byte-stream.ts";
import { RemoteError, WireError } from "../../protocol/errors.ts";
import { isForwardRequest } from "../../protocol/forward-message.ts";
import { encodeFrame, type Frame, FrameStream, frameTypes } from "../../protocol/frame.ts";
import { decodeRequest, encodeJson, type Request, sendError } from "../../protocol/message.ts";
import type { Connection } from "../../quic/connection.ts";
import type { Log } from "../../system/log.ts";
import { splice } from "../../system/splice.ts";
import { connectTcp, connectUnix, SocketError, tellResets } from "../../system/tcp-stream.ts";
import { late, within } from "../../system/within.ts";
import { askKeeper } from "./ask-keeper.ts";
import { MeteredStream, TrafficMark, trafficFileIn } from "./idle/traffic-mark.ts";
import { initLimits } from "./limits.ts";
import { serveSpeed } from "./speed.ts";
import { forwardUdp } from "./udp-forward.ts";
import { sshSocketIn } from "./ssh/ssh-plan.ts";

/**
 * Streams of authenticated clients: forwards that need no path of the guest and no memory end here, all
 * else goes to the keeper untouched.
 */
export class LinkStreams {
  readonly #keeperSocket: string;
  readonly #log: Log;
  readonly #onRequest: () => () => void;
  readonly #traffic: TrafficMark;
  #forwards = 0;
  #udpPeers = 0;
  #keeperStreams = 0;

  /** `onRequest` is told of each that the keeper gets, and what it returns of that one's end. */
  constructor(keeperSocket: string, log: Log, onRequest: () => () => void = () => nothing) {
    this.#keeperSocket = keeperSocket;
    this.#log = log;
    this.#onRequest = onRequest;
    this.#traffic = new TrafficMark(trafficFileIn(dirname(keeperSocket)));
  }

  /** Until the connection is over. Never rejects. */
  async serveAll(connection: Connection): Promise<void> {
    let open = 0;
    for (;;) {
      const stream = await connection.acceptStream();
      if (stream === null) return;
      if (open >= initLimits.streamsPerConnectionMax) {
        const message = `${initLimits.streamsPerConnectionMax} streams of this connection are open`;
        void refuse(stream, new RemoteError("limit", message));
        continue;
      }
      open += 1;
      void this.#serve(stream).finally(() => {
        open -= 1;
      });
    }
  }

  async #serve(stream: ByteStream): Promise<void> {
    try {
      await this.#route(stream);
    } catch (error) {
      if (error instanceof StreamError) {
        stream.abort(0);
        return;
      }
      await refuse(stream, asRemoteError(error, this.#log));
    }
  }

  async #route(carried: ByteStream): Promise<void> {
    const stream = new MeteredStream(carried, this.#traffic);
    const frames = new FrameStream(stream);
    const first = await within(frames.read(), initLimits.firstFrameMs);
    if (first === late) throw new WireError("No request came");
    if (first === null) {
      await stream.end();
      return;
    }
    const request = first.type === frameTypes.request ? decodeRequest(first) : undefined;
    stream.counts = request !== undefined && isUse(request);
    const own = ownRequest(request);
    if (own?.type === "forward") await this.#forward(frames, own);
    else if (own?.type === "forward-udp") await this.#forwardUdp(frames, own);
    else if (own?.type === "ssh" || own?.type === "agent") await this.#passToSsh(frames, first);
    else if (own?.type === "speed") await serveSpeed(frames, own, () => performance.now());
    else await this.#passOn(frames, first, { isForward: own !== undefined });
  }

  /** The keeper would just hang up on one too many: said here, it reaches the client. */
  async #passOn(
    frames: FrameStream,
    first: Frame,
    { socket = this.#keeperSocket, isForward = false }: PassOptions = {},
  ): Promise<void> {
    if (this.#keeperStreams >= initLimits.keeperStreamsMax)
      throw new RemoteError("limit", `${initLimits.keeperStreamsMax} requests are open`);
    this.#keeperStreams += 1;
    const over = this.#onRequest();
    try {
      const keeper = await connectUnix(socket, initLimits.keeperConnectMs);
      if (isForward) tellResets(keeper);
      await keeper.write(encodeFrame(first.type, first.payload));
      await splice(frames.release(), keeper);
    } finally {
      this.#keeperStreams -= 1;
      over();
    }
  }

  async #forwardUdp(frames: FrameStream, target: ForwardTarget): Promise<void> {
    if (this.#udpPeers >= initLimits.udpPeersMax)
      throw new RemoteError("limit", `${initLimits.udpPeersMax} peers of forwarded UDP are open`);
    this.#udpPeers += 1;
    try {
      await forwardUdp(frames, target);
    } finally {
      this.#udpPeers -= 1;
    }
  }

  /** The keeper starts that process when it is needed; its bytes do not go through the keeper. */
  async #passToSsh(frames: FrameStream, first: Frame): Promise<void> {
    await askKeeper(this.#keeperSocket, decodeRequest(first), v.object({}));
    await this.#passOn(frames, first, { socket: sshSocketIn(dirname(this.#keeperSocket)) });
  }

  async #forward(frames: FrameStream, target: ForwardTarget): Promise<void> {
    if (this.#forwards >= initLimits.forwardsMax)
      throw new RemoteError("limit", `${initLimits.forwardsMax} forwarded connections are open`);
    this.#forwards += 1;
    try {
      const connection = await connectTarget(target);
      try {
        await frames.write(frameTypes.ok, encodeJson({}));
      } catch (error) {
        connection.abort(0);
        throw error;
      }
      await splice(frames.release(), connection);
    } finally {
      this.#forwards -= 1;
    }
  }
}

const nothing = (): void => undefined;

interface PassOptions {
  /** Of the process that serves it; the keeper's where absent. */
  readonly socket?: string;
  readonly isForward?: boolean;
}

interface ForwardTarget {
  readonly host: string;
  readonly port: number;
}

/** What ends here, or passes on bytes as they are; undefined for what the keeper is to judge. */
function ownRequest(request: Request | undefined): Request | undefined {
  if (request === undefined) return undefined;
  return isForwardRequest(request) || ownTypes.has(request.type) ? request : undefined;
}

/** What keeps a machine up by its traffic. Of sessions the keeper knows better: output is no use of it. */
function isUse(request: Request): boolean {
  return isForwardRequest(request) || usedTypes.has(request.type);
}

const ownTypes: ReadonlySet<string> = new Set(["speed", "ssh", "agent"]);
const usedTypes: ReadonlySet<string> = new Set(["ssh", "agent", "files", "sftp", "provision"]);

async function connectTarget({ host, port }: ForwardTarget): Promise<ByteStream> {
  try {
    return await connectTcp({ host, port }, initLimits.forwardConnectMs);
  } catch (error) {
    if (!(error instanceof SocketError)) throw error;
    const target = `${host}:${port}`;
    throw error.code === "ECONNREFUSED"
      ? new RemoteError("forward-refused", `${target} refused the connection`)
      : new RemoteError("forward-unreachable", `${target} cannot be reached: ${error.code}`);
  }
}

function asRemoteError(error: unknown, log: Log): RemoteError {
  if (error instanceof RemoteError) return error;
  if (error instanceof WireError) return new RemoteError("bad-request", error.message);
  // Of a forward's target it says so itself: this is the keeper, with more callers than it can take in.
  if (error instanceof SocketError) return new RemoteError("busy", "The machine is overloaded");
  const detail = error instanceof Error ? error.message : String(error);
  log("error", "stream-failed", { detail });
  return new RemoteError("internal", "The machine could not do this; its log says why");
}

async function refuse(stream: ByteStream, error: RemoteError): Promise<void> {
  try {
    await sendError(new FrameStream(stream), error);
    await stream.end();
  } catch {
    stream.abort(0);
  }
}
