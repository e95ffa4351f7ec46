/** What happens to a call on its way to the API. */
export type Fault =
  /** Nothing but what `strike` does, before the call goes on its way. */
  | "none"
  /** The API does it, and its answer is lost on the way. */
  | "answer-lost"
  /** The API does it, and says 500 all the same. */
  | "done-but-500"
  /** It never arrives; the answer says 500. */
  | "not-done-500"
  /** No answer comes, ever; whoever waits for one must be killed. */
  | "hang"
  /** The same, after the API has done it. */
  | "done-but-hang"
  /** As a proxy on the way would say it. */
  | "502-html"
  | "503-empty"
  /** The API does it, and a gateway says 504 all the same. */
  | "done-but-504"
  | "done-but-408"
  /** The API does it, and this is all that comes back. */
  | "cut-json"
  | "wrong-types"
  /** Of an instance that has not heard of anything yet. */
  | "empty-list"
  /** The list is made as if nobody had said of what. */
  | "unfiltered-list"
  | "422-name_taken"
  /** A proxy on the way sent it twice, and hands on the second answer. */
  | "done-but-422-name_taken"
  | "422-insufficient_capacity"
  | "429-wait-0"
  | "401"
  | "403"
  | "404"
  | "408"
  | "409"
  | "409-no-capacity"
  | "412"
  | "422"
  | "429";

export interface FaultRule {
  /** "POST /machines": method and end of the path; "*" for whatever comes. */
  readonly on: string;
  /** Which of those calls, from 1; all when absent. */
  readonly nth?: number;
  readonly fault: Fault;
  /** Runs when the fault strikes. */
  readonly strike?: (body: string) => void | Promise<void>;
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
  const ended = Promise.withResolvers<Response>();
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
      const rule = rules.find(({ on, nth }) => {
        if (on === "*") return nth === calls.length;
        return on === shape && (nth === undefined || nth === count);
      });
      const body = await request.text();
      const isDone = rule !== undefined && doesArrive(rule.fault);
      if (!isDone) await rule?.strike?.(body);
      if (rule?.fault === "hang") return ended.promise;
      if (rule !== undefined && isRefused(rule.fault)) return refusal(rule.fault);
      const answer = await fetch(target + url.pathname + searchOf(url, rule), {
        method: request.method,
        headers: request.headers,
        body: request.method === "GET" ? null : body,
      });
      if (isDone) {
        await answer.text();
        await rule.strike?.(body);
        return rule.fault === "done-but-hang" ? ended.promise : spoiled(rule.fault);
      }
      const headers = new Headers(answer.headers);
      headers.delete("content-encoding");
      return new Response(await answer.text(), { status: answer.status, headers });
    },
  });
  return {
    base: `http://127.0.0.1:${server.port}`,
    calls,
    close: async () => {
      ended.resolve(new Response(null, { status: 500 }));
      await server.stop(true);
    },
  };
}

const passes: ReadonlySet<Fault> = new Set(["none", "unfiltered-list"]);

function isRefused(fault: Fault): boolean {
  return !passes.has(fault) && !doesArrive(fault);
}

function searchOf({ search }: URL, rule: FaultRule | undefined): string {
  return rule?.fault === "unfiltered-list" ? "" : search;
}

function doesArrive(fault: Fault): boolean {
  return (
    fault.startsWith("done-") ||
    ["answer-lost", "cut-json", "wrong-types", "empty-list"].includes(fault)
  );
}

/** In the place of the answer to a call that was done. */
function spoiled(fault: Fault): Response {
  if (fault === "wrong-types") return Response.json({ id: 7, state: null, more: [] });
  if (fault === "empty-list") return Response.json([]);
  if (fault === "answer-lost" || fault === "cut-json") return new Response('{"id":"');
  return refusal(fault);
}

function refusal(fault: Fault): Response {
  const headers = { "fly-request-id": "01FAULT-proxy" };
  const status = Number(/\d{3}/.exec(fault)?.[0] ?? "500");
  if (fault === "502-html")
    return new Response("<html><h1>502 Bad Gateway</h1></html>", { status, headers });
  if (fault === "503-empty") return new Response(null, { status, headers });
  if (fault === "429-wait-0") Object.assign(headers, { "retry-after": "0" });
  const words = fault === "409-no-capacity" ? "insufficient resources available" : "spoiled";
  const reason = /422-(.*)/.exec(fault)?.[1];
  const error = `${words} on purpose: ${fault}`;
  return Response.json(
    { error, ...(reason === undefined ? {} : { status: reason }) },
    { status, headers },
  );
}
