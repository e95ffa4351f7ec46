import { isIP } from "node:net";
import { Failure } from "../../cli/failure.ts";
import { ListenError, resolveListenAddress } from "../../system/listen-address.ts";
import { refuse } from "./usage-answer.ts";
import { usageLimits } from "./usage-limits.ts";
import type { UsageService } from "./usage-service.ts";

export interface ListenAddress {
  readonly host: string;
  readonly port: number;
  readonly isLoopback: boolean;
}

export interface UsageServer {
  /** `http://127.0.0.1:9090` */
  readonly url: string;
  stop(): Promise<void>;
}

/**
 * `IP:PORT`. What may be reached from elsewhere must have a bearer, and whoever sends it there in the
 * clear must have said that this is well: we speak no TLS. Rejects with `Failure`.
 */
export async function checkListenAddress(
  text: string,
  guard: { readonly hasBearer: boolean; readonly insecure: boolean },
): Promise<ListenAddress> {
  const address = await resolve(text);
  const isLoopback = /^127\.|^::1$/u.test(address.host);
  const refused = (because: string, fix: string): Failure =>
    new Failure("FV-CLI-001", `refusing to listen on ${text}`, { because, fix });
  if (!isLoopback && !guard.hasBearer)
    throw refused(
      "whoever reaches it could read everything about the tenants: there is no bearer token",
      "--bearer-token-file FILE, or --listen 127.0.0.1:PORT",
    );
  if (!isLoopback && !guard.insecure)
    throw refused(
      "the bearer token and the facts would go over the network in the clear",
      "listen on 127.0.0.1 behind a proxy that speaks TLS; on a private network: --insecure",
    );
  return { ...address, isLoopback };
}

/** Throws `Failure` when the address cannot be had. */
export function openUsageServer(
  address: ListenAddress,
  service: UsageService,
  onMistake: (error: unknown) => void,
): UsageServer {
  const { host, port } = address;
  try {
    const server = Bun.serve({
      hostname: host,
      port,
      // Between requests. For the first one, and for all of its headers, Bun gives ten seconds anyway.
      idleTimeout: usageLimits.requestIdleMs / 1_000,
      maxRequestBodySize: usageLimits.requestBytesMax,
      development: false,
      // Outside of its development mode Bun 1.4.5 shares the port with whoever has it, unless told not to.
      reusePort: false,
      fetch: async (request, serving) => {
        // The request is there; now it is Fly that we wait for.
        serving.timeout(request, usageLimits.answerIdleMs / 1_000);
        return service.answer(request, serving.requestIP(request)?.address ?? "");
      },
      error: (error) => {
        onMistake(error);
        return refuse(500, "a mistake of ours");
      },
    });
    const shown = isIP(host) === 6 ? `[${host}]` : host;
    return { url: `http://${shown}:${server.port}`, stop: async () => server.stop(true) };
  } catch (error) {
    throw new Failure("FV-CLI-001", `cannot listen on ${host}:${port}`, {
      because: error instanceof Error ? error.message : String(error),
    });
  }
}

async function resolve(text: string): Promise<{ readonly host: string; readonly port: number }> {
  try {
    return await resolveListenAddress(text);
  } catch (error) {
    if (!(error instanceof ListenError)) throw error;
    throw new Failure("FV-CLI-001", "--listen cannot be used", { because: error.message });
  }
}
