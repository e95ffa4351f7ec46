import type { SocketAddress } from "../../../quic/connection.ts";
import { clientAddress } from "./web-client-address.ts";
import { webLimits } from "./web-limits.ts";
import { closings, type DoorConnection, type WebSocketDoor } from "./web-socket-door.ts";

/** What /healthz and /metrics say; set by the broker's word. */
export interface WebState {
  health: { readonly ok: boolean; readonly why: string };
  metrics: string | undefined;
}

export interface WebServer {
  readonly address: SocketAddress;
  stop(): Promise<void>;
}

/** The public door. Throws what the system says when the address cannot be had. */
export function openPublicServer(
  bind: SocketAddress,
  door: WebSocketDoor,
  state: WebState,
  trustClientIp: boolean,
): WebServer {
  /** Undefined where the request has become a WebSocket. */
  const answer = (request: Request, serving: Bun.Server<DoorConnection>): Response | undefined => {
    const path = pathOf(request);
    if (path === "/healthz") return answerTo(request, () => health(state));
    if (path !== datagramsPath) return text(404, "not found");
    if (request.method !== "GET") return notAllowed();
    if (request.headers.get("upgrade")?.toLowerCase() !== "websocket")
      return text(426, "a WebSocket is wanted", { upgrade: "websocket" });
    const header = request.headers.get("fly-client-ip");
    const peer = serving.requestIP(request)?.address ?? "";
    const connection = door.admit(clientAddress(peer, header, trustClientIp));
    if (typeof connection === "string")
      return text(connection === "network" ? 429 : 503, refusals[connection]);
    if (serving.upgrade(request, { data: connection })) return undefined;
    door.closed(connection);
    return text(400, "no handshake of a WebSocket");
  };
  const server = Bun.serve<DoorConnection>({
    ...common,
    hostname: bind.host,
    port: bind.port,
    fetch: (request, serving) => {
      const response = answer(request, serving);
      if (response !== undefined) door.counters.add("web_requests");
      return response;
    },
    websocket: {
      maxPayloadLength: webLimits.messageBytesMax,
      // Ours, which looks at datagrams, comes first: this one is for a TCP connection that is dead.
      idleTimeout: (2 * webLimits.idleMs) / 1000,
      // The door asks before each datagram; this is the bound behind it.
      backpressureLimit: webLimits.bufferedBytesMax + webLimits.messageBytesMax,
      perMessageDeflate: false,
      sendPings: false,
      open: (socket) => {
        socket.binaryType = "uint8array";
        door.opened(socket.data, {
          send: (datagram) => void socket.sendBinary(datagram),
          get bufferedBytes() {
            return socket.getBufferedAmount();
          },
          close: (code, reason) => socket.close(code, reason),
        });
      },
      message: (socket, message) => door.receive(socket.data, message),
      ping: (socket) => door.pinged(socket.data),
      close: (socket, _code, reason) => {
        // Too large a message is dealt with before the door sees it.
        if (reason.includes("too big")) door.counters.add("web_closed_misuse");
        door.closed(socket.data);
      },
    },
  });
  return handleOf(server, bind);
}

/** For whoever collects metrics; not for the public. */
export function openMetricsServer(bind: SocketAddress, state: WebState): WebServer {
  const server = Bun.serve({
    ...common,
    hostname: bind.host,
    port: bind.port,
    fetch: (request) => {
      const path = pathOf(request);
      if (path === "/healthz") return answerTo(request, () => health(state));
      if (path === "/metrics") return answerTo(request, () => metrics(state));
      return text(404, "not found");
    },
  });
  return handleOf(server, bind);
}

const common = {
  maxRequestBodySize: webLimits.requestBytesMax,
  idleTimeout: webLimits.requestIdleMs / 1000,
  development: false,
  // Outside of its development mode Bun 1.4.5 shares the port with whoever has it, unless told not to.
  reusePort: false,
  error: () => text(500, "a mistake of ours"),
} as const;

function pathOf(request: Request): string {
  return URL.parse(request.url)?.pathname ?? "";
}

function answerTo(request: Request, answer: () => Response): Response {
  return request.method === "GET" || request.method === "HEAD" ? answer() : notAllowed();
}

function health({ health: { ok, why } }: WebState): Response {
  return text(ok ? 200 : 503, why);
}

function metrics(state: WebState): Response {
  if (state.metrics === undefined) return text(503, "nothing was counted yet");
  return new Response(state.metrics, { headers: { "content-type": metricsType } });
}

function notAllowed(): Response {
  return text(405, "only GET", { allow: "GET" });
}

function text(status: number, words: string, headers: Record<string, string> = {}): Response {
  return new Response(`${words}\n`, { status, headers: { ...textType, ...headers } });
}

function handleOf(
  server: Pick<Bun.Server<unknown>, "hostname" | "port" | "stop">,
  bind: SocketAddress,
): WebServer {
  const address = { host: server.hostname ?? bind.host, port: server.port ?? bind.port };
  return { address, stop: () => server.stop(true) };
}

const datagramsPath = "/v1/datagrams";
const textType = { "content-type": "text/plain; charset=utf-8" };
/** Prometheus' text format. */
const metricsType = "text/plain; version=0.0.4; charset=utf-8";
const refusals = {
  full: "this proxy has all the connections it can have",
  network: "too many connections from this address",
  draining: closings.draining.reason,
} as const;
