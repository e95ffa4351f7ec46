import * as v from "valibot";
import { authorizationHeader, redact } from "./api-authorization.ts";
import type { ApiClock } from "./api-clock.ts";
import { CookieJar } from "./api-cookies.ts";
import { type ApiErrorKind, errorKind, MachinesApiError } from "./api-error.ts";
import { apiLimits } from "./api-limits.ts";
import { ApiPace } from "./api-pace.ts";
import { readBounded } from "./bounded-body.ts";
import { wasNeverSent } from "./never-sent.ts";

export interface ApiRequest {
  readonly method: "GET" | "POST" | "PATCH" | "DELETE";
  /** Already encoded, from `/v1`. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: unknown;
  /** What for, in words: "create machine". Also the key of the request limit, with `id`. */
  readonly action: string;
  /** App, machine or volume that Fly counts the call against. */
  readonly id: string;
  readonly pace?: "action" | "read";
  /** Doing it twice is as good as once, so it is tried again when the outcome is not known. */
  readonly repeatable: boolean;
  readonly leaseNonce?: string | undefined;
  /** Beyond the usual time of a call. */
  readonly extraTimeoutMs?: number;
  /** For what a machine may make long or slow on purpose. */
  readonly strict?: {
    readonly timeoutMs: number;
    readonly answerBytesMax: number;
    readonly attemptsMax: number;
  };
  readonly signal?: AbortSignal | undefined;
}

export interface ApiAnswer {
  readonly status: number;
  readonly json: unknown;
  readonly headers: Headers;
}

/** Told of every attempt, by the request's `action`. */
export type ApiObserver = (action: string, outcome: "ok" | ApiErrorKind) => void;

/** Sends requests: authorised, paced, bounded in time and size, and again where that is safe. */
export class ApiTransport {
  readonly #base: string;
  readonly #token: string;
  readonly #userAgent: string;
  readonly #clock: ApiClock;
  readonly #attemptsMax: number | undefined;
  readonly #callTimeoutMs: number;
  readonly #observe: ApiObserver | undefined;
  readonly #pace: ApiPace;
  readonly #cookies = new CookieJar();

  constructor(options: {
    readonly base: string;
    readonly token: string;
    readonly userAgent: string;
    readonly clock: ApiClock;
    /** For those who ask again by themselves. */
    readonly attemptsMax?: number;
    readonly callTimeoutMs?: number;
    readonly observe?: ApiObserver;
  }) {
    this.#base = options.base.replace(/\/+$/u, "");
    this.#token = options.token;
    this.#userAgent = options.userAgent;
    this.#clock = options.clock;
    this.#attemptsMax = options.attemptsMax;
    this.#callTimeoutMs = options.callTimeoutMs ?? apiLimits.callTimeoutMs;
    this.#observe = options.observe;
    this.#pace = new ApiPace(options.clock);
  }

  async send(request: ApiRequest): Promise<ApiAnswer> {
    const troubles = { ...noTroubles };
    for (let attempt = 1; ; attempt += 1) {
      await this.#pace.wait(request);
      const outcome = await this.#attempt(request);
      this.#observe?.(request.action, outcome.kind === "answer" ? "ok" : outcome.error.kind);
      if (outcome.kind === "answer") return outcome.answer;
      request.signal?.throwIfAborted();
      const { error, retryAfterMs } = outcome;
      const trouble = troubleOf(outcome);
      troubles[trouble] += 1;
      const isEnough =
        troubles[trouble] >= attemptsMax[trouble] ||
        attempt >= (request.strict?.attemptsMax ?? this.#attemptsMax ?? Infinity);
      if (isEnough || !mayRepeat(error, request)) throw error;
      // Nobody would know what it waits for.
      if ((retryAfterMs ?? 0) > apiLimits.retryAfterMsMax) throw error;
      await this.#clock.sleep(this.#delayMs(attempt, retryAfterMs), request.signal);
    }
  }

  async #attempt(request: ApiRequest): Promise<Outcome> {
    const url = new URL(this.#base + request.path);
    for (const [name, value] of Object.entries(request.query ?? {})) {
      url.searchParams.append(name, value);
    }
    const usualMs = this.#callTimeoutMs + (request.extraTimeoutMs ?? 0);
    const timeout = AbortSignal.timeout(request.strict?.timeoutMs ?? usualMs);
    const signal =
      request.signal === undefined ? timeout : AbortSignal.any([timeout, request.signal]);
    let requestId: string | undefined;
    try {
      const response = await fetch(url, {
        method: request.method,
        headers: this.#headers(request),
        body: request.body === undefined ? null : JSON.stringify(request.body),
        // The token must not follow to wherever an answer points.
        redirect: "manual",
        signal,
      });
      requestId = response.headers.get("fly-request-id") ?? undefined;
      this.#cookies.take(response.headers);
      const bytes = await readBounded(response, answerBytesMax(request));
      return this.#outcome(request, response, bytes);
    } catch (error) {
      return {
        kind: "error",
        error: this.#transportError(error, { action: request.action, requestId }),
        retryAfterMs: undefined,
      };
    }
  }

  #headers(request: ApiRequest): Record<string, string> {
    const headers: Record<string, string> = {
      authorization: authorizationHeader(this.#token),
      accept: "application/json",
      "user-agent": this.#userAgent,
    };
    const cookie = this.#cookies.header();
    if (cookie !== undefined) headers["cookie"] = cookie;
    if (request.body !== undefined) headers["content-type"] = "application/json";
    if (request.leaseNonce !== undefined) headers["fly-machine-lease-nonce"] = request.leaseNonce;
    return headers;
  }

  #outcome(request: ApiRequest, response: Response, bytes: Uint8Array | undefined): Outcome {
    const requestId = response.headers.get("fly-request-id") ?? undefined;
    const about = { action: request.action, status: response.status, requestId };
    if (bytes === undefined) {
      const words = `the answer is longer than ${answerBytesMax(request)} bytes`;
      return failed(new MachinesApiError("malformed", words, about));
    }
    const text = new TextDecoder().decode(bytes);
    const json = parseJson(text);
    if (response.ok) {
      if (json !== undefined || text.trim() === "") {
        const answer = { status: response.status, json, headers: response.headers };
        return { kind: "answer", answer };
      }
      return failed(new MachinesApiError("malformed", "the answer is not JSON", about));
    }
    const { words, reason } = errorWords(json, text);
    const message = redact(words, this.#token).slice(0, apiLimits.quotedCharactersMax);
    const kind = errorKind(response.status, reason, words);
    const retryAfterMs = retryAfter(response.headers.get("retry-after"));
    const isLong = (retryAfterMs ?? 0) > apiLimits.retryAfterMsMax;
    const later = isLong ? `; it asks to come back after ${(retryAfterMs ?? 0) / 1_000} s` : "";
    return failed(new MachinesApiError(kind, message + later, about), retryAfterMs);
  }

  /** Refused connections and unknown names never reached Fly; anything else may have. */
  #transportError(
    error: unknown,
    about: { readonly action: string; readonly requestId: string | undefined },
  ): MachinesApiError {
    const message = error instanceof Error ? error.message : String(error);
    return new MachinesApiError(
      wasNeverSent(error) ? "unreachable" : "lost",
      redact(message, this.#token),
      about,
    );
  }

  /** Full jitter, so that many clients that failed together do not come back together. */
  #delayMs(attempt: number, retryAfterMs: number | undefined): number {
    const ceiling = Math.min(apiLimits.backoffMs * 2 ** attempt, apiLimits.backoffMsMax);
    return (retryAfterMs ?? 0) + Math.ceil(this.#clock.random() * ceiling);
  }
}

type Outcome =
  | { readonly kind: "answer"; readonly answer: ApiAnswer }
  | {
      readonly kind: "error";
      readonly error: MachinesApiError;
      readonly retryAfterMs: number | undefined;
    };

function answerBytesMax({ strict }: ApiRequest): number {
  return strict?.answerBytesMax ?? apiLimits.answerBytesMax;
}

function failed(error: MachinesApiError, retryAfterMs?: number): Outcome {
  return { kind: "error", error, retryAfterMs };
}

/** Each is counted by itself: one failure after many refusals is the first of its kind. */
const noTroubles = { unreachable: 0, throttled: 0, deferred: 0, failed: 0 };

type Trouble = keyof typeof noTroubles;

const attemptsMax: Readonly<Record<Trouble, number>> = {
  unreachable: apiLimits.connectAttemptsMax,
  throttled: apiLimits.throttledAttemptsMax,
  deferred: apiLimits.attemptsMax,
  failed: apiLimits.attemptsMax,
};

/** How long is up to us only where Fly does not say when to come back. */
function troubleOf({ error, retryAfterMs }: Extract<Outcome, { kind: "error" }>): Trouble {
  if (error.kind === "unreachable") return "unreachable";
  if (error.kind !== "rate-limited") return "failed";
  return retryAfterMs === undefined ? "throttled" : "deferred";
}

/** A 429 was not done and may always be sent again; what may have been done, only if twice is no harm. */
function mayRepeat(error: MachinesApiError, request: ApiRequest): boolean {
  if (error.kind === "rate-limited" || error.kind === "unreachable") return true;
  return request.repeatable && (error.kind === "lost" || error.kind === "unavailable");
}

const errorBody = v.looseObject({
  error: v.optional(v.unknown()),
  message: v.optional(v.unknown()),
  status: v.optional(v.unknown()),
});

/** `{error, status}`, the lease's `{status, message}`, or whatever a proxy in between had to say. */
function errorWords(json: unknown, text: string): { words: string; reason: string } {
  const body = v.is(errorBody, json) ? json : {};
  const words = [body.message, body.error].find((each) => typeof each === "string");
  const plain = text
    .replaceAll(/<[^>]*>/gu, " ")
    .replaceAll(/\s+/gu, " ")
    .trim();
  return {
    words: typeof words === "string" && words !== "" ? words : plain || "no reason given",
    reason: typeof body.status === "string" ? body.status : "",
  };
}

function parseJson(text: string): unknown {
  try {
    const value: unknown = JSON.parse(text);
    return value;
  } catch {
    return undefined;
  }
}

/** Seconds; a date is not worth the trouble. */
function retryAfter(header: string | null): number | undefined {
  if (header === null || !/^\d{1,6}$/u.test(header)) return undefined;
  return Number(header) * 1_000;
}
