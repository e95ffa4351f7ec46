import type { ApiClock } from "./api-clock.ts";
import type { ApiObserver, ApiTransport } from "./api-transport.ts";

interface ClientOptions {
  readonly app: string;
  readonly clock?: ApiClock;
  /** Ends every call and every pause of this client. */
  readonly signal?: AbortSignal;
}

/** A client of its own, or one that shares another's transport. */
export type MachinesApiOptions = ClientOptions &
  (
    | { readonly transport: ApiTransport }
    | {
        readonly base: string;
        readonly token: string;
        readonly userAgent: string;
        readonly attemptsMax?: number;
        /** Of one call, answer included. */
        readonly callTimeoutMs?: number;
        readonly observe?: ApiObserver;
        readonly transport?: undefined;
      }
  );
