/** What happens to a call on its way to the API. */
export type Fault =
  /** The API does it, and its answer is lost on the way. */
  | "answer-lost"
  /** The API does it, and says 500 all the same. */
  | "done-but-500"
  /** It never arrives; the answer says 500. */
  | "not-done-500"
  | "429"
  | "403"
  | "409";

export interface FaultRule {
  /** "POST /machines": method and end of the path. */
  readonly on: string;
  /** Which of those calls, from 1; all when absent. */
  readonly nth?: number;
  readonly fault: Fault;
  /** Runs when the fault strikes. */
  readonly strike?: () => void;
}

export interface FaultProxy {
  readonly base: string;
  /** "POST /machines" for each call that came. */
  readonly calls: readonly string[];
  close(): Promise<void>;
}

/** Stands between a client and an API, and spoils what the rules say. */
export function openFaultProxy(target: string, rules: readonly FaultRule[] = []): FaultProxy {
  const calls: string[] = [];
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    idleTimeout: 120,
    fetch: async (request): Promise<Response> => {
      const url = new URL(request.url);
      const call = `${request.method} ${url.pathname.replace(/^\/v1\/apps\/[^/]+/, "")}`;
      const shape = call.replaceAll(/[0-9a-f]{14}|vol_\w+/g, "*");
      calls.push(shape);
      const count = calls.filter((each) => each === shape).length;
      const rule = rules.find(
        ({ on, nth }) => on === shape && (nth === undefined || nth === count),
      );
      rule?.strike?.();
      if (rule !== undefined && !doesArrive(rule.fault)) return refusal(rule.fault);
      const answer = await fetch(target + url.pathname + url.search, {
        method: request.method,
        headers: request.headers,
        body: request.method === "GET" ? null : await request.text(),
      });
      if (rule?.fault === "done-but-500") return refusal("not-done-500");
      if (rule?.fault === "answer-lost") return cutAnswer();
      const headers = new Headers(answer.headers);
      headers.delete("content-encoding");
      return new Response(await answer.text(), { status: answer.status, headers });
    },
  });
  return {
    base: `http://127.0.0.1:${server.port}`,
    calls,
    close: async () => server.stop(true),
  };
}

function doesArrive(fault: Fault): boolean {
  return fault === "answer-lost" || fault === "done-but-500";
}

function refusal(fault: Fault): Response {
  const status = fault === "not-done-500" ? 500 : Number(fault);
  return Response.json(
    { error: `spoiled on purpose: ${fault}` },
    { status, headers: { "fly-request-id": "01FAULT-proxy" } },
  );
}

function cutAnswer(): Response {
  return new Response('{"id":"');
}
