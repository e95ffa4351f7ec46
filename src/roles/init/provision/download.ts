import { RemoteError } from "../../../protocol/errors.ts";
import { provisionLimits } from "./limits.ts";

export interface DownloadOptions {
  /** The caller checks a digest: then even a plain http connection cannot slip us another archive. */
  readonly digestGiven: boolean;
  readonly signal: AbortSignal;
  /** How long a server may say nothing; `provisionLimits` has the usual times. */
  readonly connectMs?: number;
  readonly idleMs?: number;
}

export interface Download {
  readonly bytes: AsyncIterable<Uint8Array>;
  /** As the server announces it, where it does. */
  readonly sizeBytes?: number | undefined;
}

/**
 * Streams a file from an http(s) server; resolves once the first of it is there. Follows a few
 * redirects by hand, gives up on a server that says nothing for a minute, and after a lost connection
 * goes on where it stood (Range), if the server shows that it still has the same file. Rejects, and
 * so does the stream, with `RemoteError` "download-failed" or "cancelled".
 */
export async function openDownload(address: string, options: DownloadOptions): Promise<Download> {
  const progress: Progress = {
    receivedBytes: 0,
    sizeBytes: undefined,
    validator: undefined,
    finished: false,
  };
  const bytes = download(address, progress, options);
  const first = await bytes.next();
  return { bytes: startingWith(first, bytes), sizeBytes: progress.sizeBytes };
}

async function* startingWith(
  first: IteratorResult<Uint8Array>,
  rest: AsyncGenerator<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  if (first.done !== true) yield first.value;
  yield* rest;
}

async function* download(
  address: string,
  progress: Progress,
  options: DownloadOptions,
): AsyncGenerator<Uint8Array> {
  let url = checkedUrl(address, options);
  for (let attempt = 1; !progress.finished; attempt++) {
    const before = progress.receivedBytes;
    try {
      const response = await fetchFollowing(url, progress, options);
      url = response.url;
      yield* readBody(response.body, progress, options);
    } catch (error) {
      if (options.signal.aborted) throw new RemoteError("cancelled", "The download was cancelled");
      if (error instanceof RemoteError) throw error;
      // A try that moved on does not count: a poor line may drop often.
      if (progress.receivedBytes > before) attempt = 1;
      if (!worthwhile(attempt, progress)) throw failed(url, words(error));
      await pause(attempt, options.signal);
    }
  }
}

/** A server that never sent anything is soon given up; one whose file cannot be recognised at once. */
function worthwhile(attempt: number, progress: Progress): boolean {
  if (progress.receivedBytes === 0) return attempt < provisionLimits.downloadFirstTriesMax;
  return progress.validator !== undefined && attempt < provisionLimits.downloadTriesMax;
}

interface Progress {
  receivedBytes: number;
  sizeBytes: number | undefined;
  /** Strong ETag or Last-Modified of the first answer: a changed file must not be glued to the old start. */
  validator: string | undefined;
  finished: boolean;
}

interface Answer {
  readonly url: URL;
  readonly body: ReadableStream<Uint8Array>;
}

function checkedUrl(address: string | URL, options: DownloadOptions): URL {
  let url: URL;
  try {
    url = new URL(address);
  } catch {
    throw new RemoteError("download-failed", "The address of the archive is no URL");
  }
  if (url.protocol === "https:") return url;
  if (url.protocol !== "http:") {
    throw new RemoteError("download-failed", `Addresses of kind "${url.protocol}" are not fetched`);
  }
  if (options.digestGiven) return url;
  throw new RemoteError(
    "download-failed",
    `${shown(url)} would be fetched without encryption`,
    "Use https, or give the archive's SHA-256",
  );
}

async function fetchFollowing(
  start: URL,
  progress: Progress,
  options: DownloadOptions,
): Promise<Answer> {
  let url = start;
  for (let redirects = 0; redirects <= provisionLimits.redirectsMax; redirects++) {
    const response = await fetchOnce(url, progress, options);
    const location = response.headers.get("location");
    if (response.status >= 300 && response.status < 400 && location !== null) {
      await response.body?.cancel();
      url = checkedUrl(new URL(location, url), options);
      continue;
    }
    return { url, body: checkedBody(response, url, progress) };
  }
  throw new RemoteError(
    "download-failed",
    `${shown(start)} redirects more than ${provisionLimits.redirectsMax} times`,
  );
}

async function fetchOnce(
  url: URL,
  progress: Progress,
  options: DownloadOptions,
): Promise<Response> {
  const { signal, connectMs = provisionLimits.downloadConnectMs } = options;
  const headers: Record<string, string> = { "accept-encoding": "identity" };
  if (progress.receivedBytes > 0 && progress.validator !== undefined) {
    headers["range"] = `bytes=${progress.receivedBytes}-`;
    headers["if-range"] = progress.validator;
  }
  // The bytes are wanted as they lie on the server: their digest is taken of these.
  return within(
    fetch(url, { headers, redirect: "manual", signal, decompress: false } as BunFetchRequestInit),
    connectMs,
  );
}

function checkedBody(response: Response, url: URL, progress: Progress): ReadableStream<Uint8Array> {
  const expected = progress.receivedBytes > 0 ? 206 : 200;
  if (response.status >= 500) throw new Error(`the server answered ${response.status}`);
  if (expected === 206) checkSame(response, url, progress);
  if (response.status !== expected) throw failed(url, `the server answered ${response.status}`);
  if (expected === 206) checkRange(response, url, progress);
  if (response.body === null) throw failed(url, "the server sent nothing");
  if (expected === 200) progress.sizeBytes = sizeOf(response);
  progress.validator ??= validatorOf(response);
  return response.body;
}

/** Also of a server that sends a range of another file, whatever If-Range said. */
function checkSame(response: Response, url: URL, progress: Progress): void {
  if (response.status !== 200 && response.status !== 206) return;
  const validator = validatorOf(response);
  if (validator !== undefined && validator !== progress.validator)
    throw failed(url, "the file changed during the download");
  if (response.status === 200)
    throw failed(url, "the connection was lost, and the server cannot send the rest alone");
}

function checkRange(response: Response, url: URL, progress: Progress): void {
  const range = response.headers.get("content-range") ?? "";
  if (range.startsWith(`bytes ${progress.receivedBytes}-`)) return;
  throw failed(url, "the server resumed at another place than asked");
}

/** Undefined where the server does not know it before the end. */
function sizeOf({ headers }: Response): number | undefined {
  const length = headers.get("content-length");
  if (length === null || headers.has("transfer-encoding")) return undefined;
  const bytes = Number(length);
  return Number.isSafeInteger(bytes) && bytes > 0 ? bytes : undefined;
}

function validatorOf(response: Response): string | undefined {
  const etag = response.headers.get("etag");
  if (etag !== null && !etag.startsWith("W/")) return etag;
  return response.headers.get("last-modified") ?? undefined;
}

async function* readBody(
  body: ReadableStream<Uint8Array>,
  progress: Progress,
  options: DownloadOptions,
): AsyncGenerator<Uint8Array> {
  const idleMs = options.idleMs ?? provisionLimits.downloadIdleMs;
  const reader = body.getReader();
  try {
    for (;;) {
      const next = await within(reader.read(), idleMs);
      if (options.signal.aborted) throw options.signal.reason;
      if (next.done) break;
      progress.receivedBytes += next.value.length;
      yield next.value;
    }
    progress.finished = true;
  } finally {
    void reader.cancel().catch(() => undefined);
  }
}

async function within<Value>(work: Promise<Value>, limitMs: number): Promise<Value> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`nothing came for ${limitMs / 1000} s`)), limitMs);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

async function pause(attempt: number, signal: AbortSignal): Promise<void> {
  const delayMs = Math.min(8000, 250 * 2 ** attempt);
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, delayMs);
    signal.addEventListener(
      "abort",
      () => {
        clearTimeout(timer);
        resolve();
      },
      { once: true },
    );
  });
}

function failed(url: URL, because: string): RemoteError {
  return new RemoteError("download-failed", `${shown(url)}: ${because}`);
}

/** Without user, password and query: those may be secrets, and this goes to logs. */
function shown(url: URL): string {
  return `${url.origin}${url.pathname}`;
}

function words(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
