import { createHash, timingSafeEqual } from "node:crypto";
import type { Log } from "../../system/log.ts";
import { ApiError } from "./api-error.ts";
import { ulid } from "./identifier.ts";
import type { Issuer } from "./issuer.ts";
import { localLimits } from "./limits.ts";
import type { Pacing } from "./pacing.ts";
import { type Answer, findRoute, type Route } from "./router.ts";

export interface ApiServices {
  readonly routes: readonly Route[];
  readonly apiToken: string;
  readonly issuer: () => Issuer;
  /** Absent when calls may come as fast as they like. */
  readonly pacing: Pacing | undefined;
  readonly log: Log;
  readonly wallMs: () => number;
}

/** One HTTP request to one answer, for everybody who holds the API token; the issuer's pages are for all. */
export async function answerRequest(request: Request, services: ApiServices): Promise<Response> {
  const requestId = `${ulid(services.wallMs())}-local`;
  const url = new URL(request.url);
  try {
    const page = issuerPage(request.method, url.pathname, services.issuer());
    if (page !== undefined)
      return Response.json(page, { headers: { "cache-control": "no-store" } });
    requireToken(request.headers.get("authorization"), services.apiToken);
    const match = findRoute(services.routes, request.method, url.pathname);
    services.pacing?.check(match);
    const answer = await match.route.handle({
      params: match.params,
      query: url.searchParams,
      headers: request.headers,
      body: await readJson(request),
      signal: request.signal,
    });
    return toResponse(answer, requestId);
  } catch (error) {
    return errorResponse(error, requestId, services.log);
  }
}

export function errorResponse(error: unknown, requestId: string, log: Log): Response {
  if (!(error instanceof ApiError)) {
    const message = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    log("error", "request-failed", { requestId, error: message });
  }
  const known = error instanceof ApiError ? error : new ApiError(500, "internal error", "unknown");
  return toResponse({ status: known.status, json: known.body() }, requestId);
}

/** Undefined for an empty body. The size was limited by the listener. */
export async function readJson(request: Request): Promise<unknown> {
  const text = await request.text();
  if (text.trim() === "") return undefined;
  if (text.length > localLimits.requestBytesMax) throw new ApiError(413, "body too large");
  try {
    return JSON.parse(text);
  } catch {
    throw new ApiError(400, "invalid_argument: the body is not JSON");
  }
}

function issuerPage(
  method: string,
  path: string,
  issuer: Issuer,
): Record<string, unknown> | undefined {
  if (method !== "GET") return undefined;
  const base = new URL(issuer.url).pathname;
  if (path === `${base}/.well-known/openid-configuration`) return issuer.discovery();
  if (path === `${base}/.well-known/jwks`) return issuer.jwks();
  return undefined;
}

/** Both schemes are Fly's own; the comparison takes the same time for every wrong token. */
function requireToken(header: string | null, expected: string): void {
  const given = /^(?:Bearer|FlyV1) (\S+)$/u.exec(header ?? "")?.[1] ?? "";
  if (timingSafeEqual(digest(given), digest(expected))) return;
  throw new ApiError(401, "token validation error");
}

function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}

function toResponse(answer: Answer, requestId: string): Response {
  const headers = { ...answer.headers, "fly-request-id": requestId };
  if (answer.json === undefined) return new Response(null, { status: answer.status, headers });
  return Response.json(answer.json, { status: answer.status, headers });
}
