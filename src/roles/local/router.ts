import { ApiError } from "./api-error.ts";
import type { Reader } from "./replicas.ts";

export interface ApiCall {
  readonly params: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  readonly headers: Headers;
  /** Parsed JSON; undefined when there was no body. */
  readonly body: unknown;
  /** Whose view of things the answer gives. */
  readonly reader: Reader;
  /** Aborted when the client has gone. */
  readonly signal: AbortSignal;
}

export interface Answer {
  readonly status: number;
  readonly json?: unknown;
  /** In place of `json`: a body of another type. */
  readonly text?: { readonly type: string; readonly body: string };
  readonly headers?: Readonly<Record<string, string>>;
  /** How the answer gets to the client, where that goes wrong on purpose. */
  readonly delivery?: Delivery;
}

export type Delivery =
  | { readonly kind: "drop" }
  | { readonly kind: "hang" }
  | { readonly kind: "cut"; readonly bytes: number }
  | { readonly kind: "trickle"; readonly everyMs: number }
  | { readonly kind: "pad"; readonly bytes: number };

/** Which of Fly's request limits a call counts against; only reading one machine is `read`. */
export type Pace = "action" | "read" | "none";

export interface Route {
  readonly method: string;
  /** With `{name}` for a variable segment. */
  readonly path: string;
  readonly pace: Pace;
  /** A machine may do this to itself through its socket. */
  readonly selfService?: true;
  readonly handle: (call: ApiCall) => Promise<Answer> | Answer;
}

export function route(method: string, path: string, pace: Pace, handle: Route["handle"]): Route {
  return { method, path, pace, handle };
}

export function selfServiceRoute(
  method: string,
  path: string,
  pace: Pace,
  handle: Route["handle"],
): Route {
  return { method, path, pace, handle, selfService: true };
}

export interface Match {
  readonly route: Route;
  readonly params: Readonly<Record<string, string>>;
}

/** The one call that only machines have, at their sockets. */
export const evidencePath = "/v1/tokens/oidc";

/** The route of a request; a known path with another method is 405, anything else 404. */
export function findRoute(routes: readonly Route[], method: string, path: string): Match {
  let known = false;
  for (const candidate of routes) {
    const params = matchPath(candidate.path, path);
    if (params === undefined) continue;
    known = true;
    if (candidate.method === method) return { route: candidate, params };
  }
  if (known) throw new ApiError(405, `method ${method} not allowed`);
  throw new ApiError(404, "404 page not found");
}

function matchPath(pattern: string, path: string): Record<string, string> | undefined {
  const wanted = pattern.split("/");
  const given = path.split("/");
  if (wanted.length !== given.length) return undefined;
  const params = new Map<string, string>();
  for (const [index, segment] of wanted.entries()) {
    const actual = given[index] ?? "";
    if (!segment.startsWith("{")) {
      if (segment !== actual) return undefined;
      continue;
    }
    const decoded = decodeSegment(actual);
    if (decoded === undefined || decoded === "") return undefined;
    params.set(segment.slice(1, -1), decoded);
  }
  return Object.fromEntries(params);
}

function decodeSegment(segment: string): string | undefined {
  try {
    return decodeURIComponent(segment);
  } catch {
    return undefined;
  }
}

export function ok(json: unknown, headers: Readonly<Record<string, string>> = {}): Answer {
  return { status: 200, json, headers };
}
