import { Failure } from "../../../cli/failure.ts";
import { formatSize } from "../../../cli/size.ts";
import { formatDuration } from "../../../cli/duration.ts";
import { late, within } from "../../../system/within.ts";
import { mayLeadTo } from "./release-source.ts";
import { updateLimits } from "./update-limits.ts";

export interface DownloadOptions {
  readonly bytesMax: number;
  /** All of it. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
  readonly onBytes?: (received: number, total: number | undefined) => void;
}

/** The bytes at the address; undefined where there are none (404). Rejects with `Failure`. */
export async function downloadFile(
  url: string,
  options: DownloadOptions,
): Promise<Uint8Array | undefined> {
  const timeout = AbortSignal.timeout(options.timeoutMs);
  const signal = AbortSignal.any([timeout, ...(options.signal ? [options.signal] : [])]);
  try {
    const response = await follow(url, signal);
    if (response.status === 404) {
      await response.body?.cancel();
      return undefined;
    }
    return await readAll(response, url, options);
  } catch (error) {
    if (error instanceof Failure) throw error;
    // The user's own wish ends quietly, by whoever aborted.
    options.signal?.throwIfAborted();
    const words = error instanceof Error ? error.message : String(error);
    throw unreachable(
      url,
      timeout.aborted ? `not done after ${formatDuration(options.timeoutMs)}` : words,
    );
  }
}

async function follow(start: string, signal: AbortSignal): Promise<Response> {
  let url = start;
  for (let hops = 0; hops <= updateLimits.redirectsMax; hops += 1) {
    const response = await fetch(url, {
      signal,
      redirect: "manual",
      // Not to be switched off by NODE_TLS_REJECT_UNAUTHORIZED.
      tls: { rejectUnauthorized: true },
    });
    if (response.status === 200 || response.status === 404) return response;
    await response.body?.cancel();
    const location = response.headers.get("location");
    if (response.status < 300 || response.status > 399 || location === null)
      throw unreachable(url, `the answer was ${response.status}`);
    const next = new URL(location, url);
    if (!mayLeadTo(next, new URL(start)))
      throw unreachable(url, `it leads to ${next.origin}, which is not https`);
    url = next.href;
  }
  throw unreachable(start, `more than ${updateLimits.redirectsMax} redirects`);
}

async function readAll(
  response: Response,
  url: string,
  { bytesMax, onBytes }: DownloadOptions,
): Promise<Uint8Array> {
  const length = Number(response.headers.get("content-length") ?? Number.NaN);
  const total = Number.isSafeInteger(length) ? length : undefined;
  const chunks: Uint8Array[] = [];
  let received = 0;
  const reader = response.body?.getReader();
  try {
    for (;;) {
      const step = await within(reader?.read() ?? ended, updateLimits.silentMs);
      if (step === late)
        throw unreachable(url, `nothing came for ${formatDuration(updateLimits.silentMs)}`);
      if (step.done) return Buffer.concat(chunks);
      received += step.value.length;
      if (received > bytesMax) throw unreachable(url, `more than ${formatSize(bytesMax)}`);
      chunks.push(step.value);
      onBytes?.(received, total);
    }
  } catch (error) {
    await reader?.cancel().catch(() => undefined);
    throw error;
  }
}

const ended = Promise.resolve({ done: true, value: undefined } as const);

function unreachable(url: string, because: string): Failure {
  return new Failure("FV-UPD-001", "the release could not be fetched", {
    because: `${url}: ${because}`,
    fix: "check that this computer is online; FLY_VAULT_RELEASES says where releases are looked for",
  });
}
