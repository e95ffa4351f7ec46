import { chmodSync, rmSync } from "node:fs";
import * as v from "valibot";
import { TokenBucket } from "../../fly/token-bucket.ts";
import type { Log } from "../../system/log.ts";
import { ApiError } from "./api-error.ts";
import { errorAnswer, parseJson } from "./api-listener.ts";
import { ulid } from "./identifier.ts";
import { localLimits } from "./limits.ts";
import type { MachineRecord } from "./record.ts";
import { parseBody } from "./request-input.ts";
import { findRoute, type Route } from "./router.ts";

const evidenceRequest = v.looseObject({
  aud: v.optional(v.pipe(v.string(), v.minLength(1), v.maxBytes(localLimits.audienceBytesMax))),
});

export interface SocketServices {
  readonly evidence: (machine: MachineRecord, audience: string | undefined) => Promise<string>;
  readonly routes: readonly Route[];
  /** Undefined: as many as are asked for. */
  readonly evidencePace: { readonly perSecond: number; readonly burst: number } | undefined;
  readonly log: Log;
  readonly wallMs: () => number;
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
  const pace = services.evidencePace;
  const bucket =
    pace === undefined ? undefined : new TokenBucket({ ...pace, nowMs: services.monotonicMs() });
  const server = Bun.serve({
    unix: path,
    maxRequestBodySize: localLimits.requestBytesMax,
    fetch: async (request) => {
      const requestId = `${ulid(services.wallMs())}-local`;
      try {
        return await answer(request, { machine, services, bucket, requestId });
      } catch (error) {
        const { status, json } = errorAnswer(error, requestId, services.log);
        return Response.json(json, { status, headers: { "fly-request-id": requestId } });
      }
    },
  });
  chmodSync(path, 0o600);
  return {
    close() {
      void server.stop(true);
      rmSync(path, { force: true });
    },
  };
}

async function answer(
  request: Request,
  context: {
    readonly machine: MachineRecord;
    readonly services: SocketServices;
    readonly bucket: TokenBucket | undefined;
    readonly requestId: string;
  },
): Promise<Response> {
  const { machine, services, bucket, requestId } = context;
  const url = new URL(request.url);
  const headers = { "fly-request-id": requestId };
  if (url.pathname === "/v1/tokens/oidc" && request.method === "POST") {
    if (bucket?.take(services.monotonicMs()) === false) {
      throw new ApiError(429, "rate limit exceeded: too many evidence tokens");
    }
    const asked = parseBody(evidenceRequest, parseJson(await request.text()));
    const token = await services.evidence(machine, asked.aud);
    return new Response(token, { headers: { ...headers, "content-type": "text/plain" } });
  }
  const match = findRoute(services.routes, request.method, url.pathname);
  const own = match.params["app"] === machine.app && match.params["id"] === machine.id;
  if (match.route.selfService !== true || !own) throw new ApiError(403, "permission denied");
  const result = await match.route.handle({
    params: match.params,
    query: url.searchParams,
    headers: request.headers,
    body: parseJson(await request.text()),
    signal: request.signal,
    reader: { instance: 0, agoMs: 0 },
  });
  return Response.json(result.json ?? null, { status: result.status, headers });
}
