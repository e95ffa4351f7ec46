import { chmodSync, rmSync } from "node:fs";
import * as v from "valibot";
import { TokenBucket } from "../../system/token-bucket.ts";
import { ApiError } from "./api-error.ts";
import { type CallServices, carryOut, errorAnswer, parseJson } from "./api-listener.ts";
import { type HttpCall, listenUnix } from "./http-listener.ts";
import { ulid } from "./identifier.ts";
import { localLimits } from "./limits.ts";
import type { MachineRecord } from "./record.ts";
import { parseBody } from "./request-input.ts";
import { type Answer, type ApiCall, evidencePath, findRoute, type Route, route } from "./router.ts";

const evidenceRequest = v.looseObject({
  aud: v.optional(v.pipe(v.string(), v.minLength(1), v.maxBytes(localLimits.audienceBytesMax))),
});

export interface SocketServices extends CallServices {
  readonly evidence: (machine: MachineRecord, audience: string | undefined) => Promise<string>;
  readonly routes: readonly Route[];
  /** Undefined: as many as are asked for. */
  readonly evidencePace: { readonly perSecond: number; readonly burst: number } | undefined;
  readonly monotonicMs: () => number;
}

export interface MachineSocket {
  close(): void;
}

/** `/.fly/api` of one machine: whoever may open it is that machine, and needs no token. */
export function openMachineSocket(
  path: string,
  machine: MachineRecord,
  services: SocketServices,
): MachineSocket {
  rmSync(path, { force: true });
  const evidence = evidenceRoute(machine, services);
  const server = listenUnix(path, async (http) => {
    const requestId = `${ulid(services.wallMs())}-local`;
    const headers = { "fly-request-id": requestId };
    try {
      const answer = await answerMachine(http, { machine, services, evidence });
      return { ...answer, headers: { ...headers, ...answer.headers } };
    } catch (error) {
      return { ...errorAnswer(error, requestId, services.log), headers };
    }
  });
  chmodSync(path, 0o600);
  return {
    close() {
      void server.close();
      rmSync(path, { force: true });
    },
  };
}

function evidenceRoute(machine: MachineRecord, services: SocketServices): Route {
  const pace = services.evidencePace;
  const bucket =
    pace === undefined ? undefined : new TokenBucket({ ...pace, nowMs: services.monotonicMs() });
  return route("POST", evidencePath, "none", async (call) => {
    if (bucket?.take(services.monotonicMs()) === false) {
      throw new ApiError(429, "rate limit exceeded: too many evidence tokens");
    }
    const asked = parseBody(evidenceRequest, call.body);
    const token = await services.evidence(machine, asked.aud);
    return { status: 200, text: { type: "text/plain", body: token } };
  });
}

async function answerMachine(
  http: HttpCall,
  context: {
    readonly machine: MachineRecord;
    readonly services: SocketServices;
    readonly evidence: Route;
  },
): Promise<Answer> {
  const { machine, services, evidence } = context;
  const itself = { app: machine.app, id: machine.id };
  const asksEvidence = http.method === "POST" && http.url.pathname === evidencePath;
  const match = asksEvidence
    ? { route: evidence, params: itself }
    : findRoute(services.routes, http.method, http.url.pathname);
  const own = match.params["app"] === machine.app && match.params["id"] === machine.id;
  if (!asksEvidence && (match.route.selfService !== true || !own))
    throw new ApiError(403, "permission denied");
  const call: ApiCall = {
    params: match.params,
    query: http.url.searchParams,
    headers: http.headers,
    body: parseJson(http.body),
    reader: { instance: 0, agoMs: 0 },
    signal: http.signal,
  };
  return carryOut(match, call, services, () => undefined);
}
