import type { ApiClock } from "../../src/fly/api-clock.ts";
import type { ApiObserver } from "../../src/fly/api-transport.ts";
import { MachinesApi } from "../../src/fly/machines-api.ts";

export interface SeenRequest {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: Headers;
  readonly body: string;
}

type Reply = Response | ((request: SeenRequest) => Response | Promise<Response>);

export interface ScriptedApi {
  readonly api: MachinesApi;
  /** Where it listens, for clients of one's own. */
  readonly base: string;
  readonly seen: readonly SeenRequest[];
  /** What the client slept, in virtual milliseconds. */
  readonly slept: readonly number[];
  close(): Promise<void>;
}

/** Answers in the order given, the last one for ever; time is virtual, so no test waits. */
export function scriptApi(
  replies: readonly Reply[],
  options: {
    readonly token?: string;
    readonly signal?: AbortSignal;
    readonly attemptsMax?: number;
    readonly observe?: ApiObserver;
  } = {},
): ScriptedApi {
  const seen: SeenRequest[] = [];
  const slept: number[] = [];
  let next = 0;
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: async (request): Promise<Response> => {
      const url = new URL(request.url);
      const entry = {
        method: request.method,
        path: url.pathname,
        query: url.searchParams,
        headers: request.headers,
        body: await request.text(),
      };
      seen.push(entry);
      const reply = replies[Math.min(next, replies.length - 1)];
      next += 1;
      if (reply === undefined) return new Response(null, { status: 500 });
      return typeof reply === "function" ? reply(entry) : (reply.clone() as Response);
    },
  });
  let nowMs = 0;
  const clock: ApiClock = {
    monotonicMs: () => nowMs,
    sleep: async (ms, signal) => {
      signal?.throwIfAborted();
      slept.push(ms);
      nowMs += ms;
    },
    random: () => 0.5,
  };
  const api = new MachinesApi({
    base: `http://127.0.0.1:${server.port}/`,
    app: "app-a",
    userAgent: "test/1",
    clock,
    ...options,
    token: options.token ?? "plain-oauth-token",
  });
  return {
    api,
    base: `http://127.0.0.1:${server.port}`,
    seen,
    slept,
    close: async () => server.stop(true),
  };
}

export const machineJson = (extra: Record<string, unknown> = {}): Record<string, unknown> => ({
  id: "148e21ea7e46e8",
  state: "started",
  ...extra,
});

export function json(value: unknown, init: ResponseInit = {}): Response {
  return Response.json(value, init);
}
