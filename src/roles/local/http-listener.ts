import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { localLimits } from "./limits.ts";
import type { Answer, Delivery } from "./router.ts";

export interface HttpCall {
  readonly method: string;
  readonly url: URL;
  readonly headers: Headers;
  /** Undefined when it was longer than allowed. */
  readonly body: string | undefined;
  /** Aborted when the client has gone. */
  readonly signal: AbortSignal;
}

export interface HttpListener {
  readonly port: number;
  /** Ends all connections at once. */
  close(): Promise<void>;
}

/**
 * One HTTP server. Node's, since with it an answer can also be cut short or never come, which is what
 * a client must be tried with. Rejects when the address is taken.
 */
export async function listenHttp(options: {
  readonly hostname: string;
  readonly port: number;
  readonly handle: (call: HttpCall) => Promise<Answer>;
}): Promise<HttpListener> {
  const server = httpServer(options.handle);
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(options.port, options.hostname, () => resolve());
  });
  return { port: portOf(server.address()), close: async () => closeServer(server) };
}

/** On a Unix socket, which is there when this returns. */
export function listenUnix(
  path: string,
  handle: (call: HttpCall) => Promise<Answer>,
): { close(): Promise<void> } {
  const server = httpServer(handle);
  server.listen(path);
  return { close: async () => closeServer(server) };
}

function httpServer(handle: (call: HttpCall) => Promise<Answer>): Server {
  const server = createServer((request, response) => {
    void serve(request, response, handle);
  });
  // Longer than the longest wait; and a client that hangs is the client's to end.
  server.requestTimeout = 0;
  server.keepAliveTimeout = localLimits.keepAliveMs;
  return server;
}

function portOf(address: AddressInfo | string | null): number {
  if (address === null || typeof address === "string") throw new Error("Listens on no port");
  return address.port;
}

async function closeServer(server: Server): Promise<void> {
  await new Promise<void>((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}

async function serve(
  request: IncomingMessage,
  response: ServerResponse,
  handle: (call: HttpCall) => Promise<Answer>,
): Promise<void> {
  const gone = new AbortController();
  response.once("close", () => gone.abort());
  try {
    const answer = await handle({
      method: request.method ?? "",
      url: new URL(request.url ?? "/", "http://localhost"),
      headers: headersOf(request),
      body: await readBody(request),
      signal: gone.signal,
    });
    await deliver(request, response, answer, gone.signal);
  } catch {
    // Its connection broke while it was read or answered: there is nobody left to tell.
    request.destroy();
  }
}

function headersOf(request: IncomingMessage): Headers {
  const headers = new Headers();
  for (const [name, value] of Object.entries(request.headers))
    for (const each of [value ?? []].flat()) headers.append(name, each);
  return headers;
}

/** All of it is read, so that the client gets to read the answer; only so much is kept. */
async function readBody(request: IncomingMessage): Promise<string | undefined> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request) {
    const bytes = Buffer.from(chunk);
    size += bytes.length;
    if (size <= localLimits.requestBytesMax) chunks.push(bytes);
  }
  return size > localLimits.requestBytesMax ? undefined : Buffer.concat(chunks).toString();
}

async function deliver(
  request: IncomingMessage,
  response: ServerResponse,
  answer: Answer,
  gone: AbortSignal,
): Promise<void> {
  const { delivery } = answer;
  if (delivery?.kind === "hang") return;
  if (delivery?.kind === "drop") {
    request.socket.destroy();
    return;
  }
  const body = bodyBytes(answer, delivery);
  writeHead(response, answer, body.length);
  if (delivery?.kind === "cut") {
    // Never the whole body, or nothing would be missing.
    const part = body.subarray(0, Math.min(delivery.bytes, body.length - 1));
    response.flushHeaders();
    response.write(part, () => request.socket.destroy());
  } else if (delivery?.kind === "trickle") {
    for (let at = 0; at < body.length && !gone.aborted; at += 1) {
      response.write(body.subarray(at, at + 1));
      await Bun.sleep(delivery.everyMs);
    }
    response.end();
  } else response.end(body);
}

function writeHead(response: ServerResponse, answer: Answer, length: number): void {
  for (const [name, value] of Object.entries(answer.headers ?? {})) response.setHeader(name, value);
  if (answer.text !== undefined) response.setHeader("content-type", answer.text.type);
  else if (answer.json !== undefined) response.setHeader("content-type", "application/json");
  if (answer.status !== 204) response.setHeader("content-length", length);
  response.writeHead(answer.status);
}

function bodyBytes(answer: Answer, delivery: Delivery | undefined): Buffer {
  const text = answer.text?.body ?? (answer.json === undefined ? "" : JSON.stringify(answer.json));
  const body = Buffer.from(text);
  if (delivery?.kind !== "pad") return body;
  return Buffer.concat([body, Buffer.alloc(delivery.bytes, " ")]);
}
