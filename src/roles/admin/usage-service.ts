import { RefusalRate } from "./refusal-rate.ts";
import { answerWith, jsonType, refuse, UsageBody } from "./usage-answer.ts";
import type { Bearer } from "./usage-bearer.ts";
import type { CachedUsage, UsageCache } from "./usage-cache.ts";
import { usageDocument } from "./usage-document.ts";
import { TooManyIntervals } from "./usage-interval.ts";
import type { UsageJournal } from "./usage-journal.ts";
import { usageLimits } from "./usage-limits.ts";
import { usageMetrics } from "./usage-metrics.ts";
import { usageFacts, type UsageSnapshot } from "./usage-snapshot.ts";
import { parseWindow, WindowError } from "./usage-window.ts";

interface UsageServiceOptions {
  readonly app: string;
  readonly cache: UsageCache;
  readonly bearer: Bearer | undefined;
  readonly journal: UsageJournal | undefined;
  /** Bound to loopback: whoever asks for another host was led here by a name that is not ours. */
  readonly isLoopback: boolean;
  /** Monotonic. */
  readonly nowMs: () => number;
}

/** Answers requests for usage facts. No socket and no clock of its own. */
export class UsageService {
  readonly #options: UsageServiceOptions;
  readonly #refusals = new RefusalRate();
  readonly #bodies = new WeakMap<UsageSnapshot, UsageBody>();

  constructor(options: UsageServiceOptions) {
    this.#options = options;
  }

  /** `source` is the address that asks. */
  async answer(request: Request, source: string): Promise<Response> {
    const url = URL.parse(request.url);
    const refusal = this.#misfit(request, url) ?? this.#stranger(request, source);
    if (refusal !== undefined || url === null) return refusal ?? refuse(400, "bad request");
    const isQueried = url.search !== "";
    switch (url.pathname) {
      case "/usage-facts":
        return this.#facts(request, url.searchParams);
      case "/metrics":
        return isQueried ? noQuery() : this.#metrics(request);
      case "/healthz":
        return isQueried ? noQuery() : new Response("ok", { headers: healthHeaders });
      default:
        return refuse(404, "not found");
    }
  }

  #misfit(request: Request, url: URL | null): Response | undefined {
    const { headers } = request;
    if (url === null || request.url.length > usageLimits.pathBytesMax)
      return refuse(400, "bad request");
    const hasBody = headers.has("transfer-encoding") || Number(headers.get("content-length")) > 0;
    if (hasBody) return refuse(400, "there must be no body");
    // Two of them, of which nobody knows which one is meant.
    if (headers.get("host")?.includes(",") === true) return refuse(400, "bad request");
    if (this.#options.isLoopback && !loopbackNames.test(url.hostname))
      return refuse(421, "misdirected request");
    return undefined;
  }

  #stranger(request: Request, source: string): Response | undefined {
    const { bearer, nowMs } = this.#options;
    const header = request.headers.get("authorization");
    if (bearer === undefined || bearer.admits(header)) {
      const isRead = request.method === "GET" || request.method === "HEAD";
      return isRead ? undefined : refuse(405, "only GET", { allow: "GET, HEAD" });
    }
    if (this.#refusals.isTooMany(source, nowMs()))
      return refuse(429, "too many requests", { "retry-after": "1" });
    // Of two headers nobody knows which one another program on the way went by.
    if (header?.includes(",") === true) return refuse(400, "bad request");
    return refuse(401, "unauthorized", { "www-authenticate": "Bearer" });
  }

  async #facts(request: Request, query: URLSearchParams): Promise<Response> {
    const [since, until] = [query.get("since"), query.get("until")];
    const isPlain = since === null && until === null;
    if (query.size !== [since, until].filter((each) => each !== null).length || since === "")
      return refuse(400, "the parameters are since and until, once each");
    if (!isPlain && since === null) return refuse(400, "until needs since");
    if (!isPlain && this.#options.journal === undefined)
      return refuse(400, "there are no intervals without --journal");
    const usage = await this.#options.cache.read();
    if (usage.kind === "failure") return failed(usage.because);
    if (since === null) return answerWith(this.#body(usage.snapshot), request, ageHeaders(usage));
    return this.#intervals(usage, { since, until: until ?? undefined }, request);
  }

  #intervals(
    usage: Extract<CachedUsage, { kind: "snapshot" }>,
    asked: { readonly since: string; readonly until: string | undefined },
    request: Request,
  ): Response {
    const { app, journal } = this.#options;
    const { snapshot } = usage;
    if (journal === undefined) return refuse(404, "not found");
    try {
      const window = parseWindow(asked.since, asked.until, snapshot.observedAtMs);
      const document = usageDocument(snapshot, journal.history, {
        app,
        window,
        tenant: journal.tenant,
      });
      return answerWith(
        new UsageBody(jsonType, `${JSON.stringify(document)}\n`),
        request,
        ageHeaders(usage),
      );
    } catch (error) {
      if (error instanceof WindowError) return refuse(400, error.message);
      if (error instanceof TooManyIntervals) return refuse(400, "ask for a shorter time");
      throw error;
    }
  }

  async #metrics(request: Request): Promise<Response> {
    const { cache } = this.#options;
    const usage = await cache.read();
    if (usage.kind === "failure") return failed(usage.because);
    const isStale = usage.staleBecause !== undefined;
    const text = usageMetrics(usage.snapshot, { isStale, loads: cache.loads });
    return answerWith(new UsageBody(metricsType, text), request, ageHeaders(usage));
  }

  #body(snapshot: UsageSnapshot): UsageBody {
    const known = this.#bodies.get(snapshot);
    if (known !== undefined) return known;
    const body = new UsageBody(jsonType, `${JSON.stringify(usageFacts(snapshot))}\n`);
    this.#bodies.set(snapshot, body);
    return body;
  }
}

function ageHeaders(usage: Extract<CachedUsage, { kind: "snapshot" }>): Record<string, string> {
  const { staleBecause } = usage;
  return {
    age: String(Math.floor(usage.ageMs / 1_000)),
    "last-modified": new Date(usage.snapshot.observedAtMs).toUTCString(),
    ...(staleBecause === undefined
      ? {}
      : { warning: '110 - "Response is Stale"', "fly-vault-stale": headerText(staleBecause) }),
  };
}

function failed(because: string): Response {
  return refuse(500, because, { "retry-after": String(usageLimits.factsAgeMs / 1_000) });
}

function noQuery(): Response {
  return refuse(400, "there are no parameters here");
}

/** A server's words may hold anything; a header may not. */
function headerText(words: string): string {
  return words.replaceAll(/[^\x20-\x7e]/gu, "?").slice(0, 200);
}

const loopbackNames = /^(?:127(?:\.\d{1,3}){3}|localhost|\[::1\])$/u;
const metricsType = "text/plain; version=0.0.4; charset=utf-8";
const healthHeaders = {
  "content-type": "text/plain; charset=utf-8",
  "cache-control": "no-store",
} as const;
