import { createHash, timingSafeEqual } from "node:crypto";
import type { Log } from "../../system/log.ts";
import { ApiError } from "./api-error.ts";
import type { CallLog } from "./call-log.ts";
import { faultyAnswer, type FaultReach } from "./fault-answer.ts";
import type { Faults } from "./faults.ts";
import type { HttpCall } from "./http-listener.ts";
import { ulid } from "./identifier.ts";
import type { Issuer } from "./issuer.ts";
import type { Pacing } from "./pacing.ts";
import { asInstance, type InstanceChoice, pinningCookie } from "./replicas.ts";
import { type Answer, type ApiCall, findRoute, type Match, type Route } from "./router.ts";

/** What every call is led past, whichever way it came. */
export interface CallServices {
  readonly faults: Faults;
  readonly calls: CallLog;
  /** The names by which a fault may know the machine of a call. */
  readonly machineNames: (match: Match, body: unknown) => readonly string[];
  readonly faultReach: (match: Match, call: ApiCall) => FaultReach;
  readonly log: Log;
  readonly wallMs: () => number;
}

export interface ApiServices extends CallServices {
  readonly routes: readonly Route[];
  readonly apiToken: string;
  readonly issuer: () => Issuer;
  /** Absent when calls may come as fast as they like. */
  readonly pacing: Pacing | undefined;
  /** Absent when all see everything at once. */
  readonly instances: InstanceChoice | undefined;
}

/** One HTTP request to one answer, for everybody who holds the API token; the issuer's pages are for all. */
export async function answerRequest(http: HttpCall, services: ApiServices): Promise<Answer> {
  const requestId = `${ulid(services.wallMs())}-local`;
  const headers = { "fly-request-id": requestId };
  try {
    const page = issuerPage(http.method, http.url.pathname, services.issuer());
    if (page !== undefined)
      return { status: 200, json: page, headers: { ...headers, "cache-control": "no-store" } };
    requireToken(http.headers.get("authorization"), services.apiToken);
    const match = findRoute(services.routes, http.method, http.url.pathname);
    const answer = await answerByInstance(match, http, services);
    return { ...answer, headers: { ...headers, ...answer.headers } };
  } catch (error) {
    return { ...errorAnswer(error, requestId, services.log), headers };
  }
}

/** A client that wrote is pinned to the instance that took the write. */
async function answerByInstance(
  match: Match,
  http: HttpCall,
  services: ApiServices,
): Promise<Answer> {
  if (services.instances === undefined) return answerCall(match, http, services, 0);
  const instance = services.instances.choose(http.headers.get("cookie"));
  const answer = await asInstance(instance, async () =>
    answerCall(match, http, services, instance),
  );
  if (match.route.method === "GET") return answer;
  return { ...answer, headers: { ...answer.headers, "set-cookie": pinningCookie(instance) } };
}

async function answerCall(
  match: Match,
  http: HttpCall,
  services: ApiServices,
  instance: number,
): Promise<Answer> {
  const call: ApiCall = {
    params: match.params,
    query: http.url.searchParams,
    headers: http.headers,
    body: parseJson(http.body),
    signal: http.signal,
    reader: { instance, agoMs: 0 },
  };
  if (match.route.path.startsWith("/local/")) return match.route.handle(call);
  return carryOut(match, call, services, () => services.pacing?.check(match));
}

/** The call, with what is to go wrong with it; it is remembered, even if `admit` refuses it. */
export async function carryOut(
  match: Match,
  call: ApiCall,
  services: CallServices,
  admit: () => void,
): Promise<Answer> {
  let fault: string | undefined;
  let status = 500;
  try {
    admit();
    const action = services.faults.take(match, services.machineNames(match, call.body));
    fault = action?.kind;
    const answer =
      action === undefined
        ? await match.route.handle(call)
        : await faultyAnswer(action, services.faultReach(match, call));
    const isSent = answer.delivery?.kind !== "drop" && answer.delivery?.kind !== "hang";
    status = isSent ? answer.status : 0;
    return answer;
  } catch (error) {
    if (error instanceof ApiError) ({ status } = error);
    throw error;
  } finally {
    services.calls.add({
      atMs: services.wallMs(),
      method: match.route.method,
      route: match.route.path,
      params: match.params,
      status,
      ...(fault === undefined ? {} : { fault }),
    });
  }
}

export function errorAnswer(error: unknown, requestId: string, log: Log): Answer {
  if (!(error instanceof ApiError)) {
    const message = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    log("error", "request-failed", { requestId, error: message });
  }
  const known = error instanceof ApiError ? error : new ApiError(500, "internal error", "unknown");
  return { status: known.status, json: known.body() };
}

/** Undefined for an empty body. */
export function parseJson(text: string | undefined): unknown {
  if (text === undefined) throw new ApiError(413, "body too large");
  if (text.trim() === "") return undefined;
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
