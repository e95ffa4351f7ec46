import type { ClientGateOptions } from "../../../quic/admission-gate.ts";
import type { Address } from "../vault/address.ts";
import type { Dialled } from "./dial-attempt.ts";
import { dialFailure } from "./dial-failure.ts";
import { DialRace } from "./dial-race.ts";
import { type DialRoute, udpRoute, webRoute } from "./dial-route.ts";
import { clientLimits } from "../limits.ts";
import type { Transport, TransportPlan } from "./transport.ts";

export interface DialOptions {
  readonly vault: string;
  readonly address: Address;
  /** Where the plan has TCP in it. */
  readonly webUrl: string | undefined;
  readonly plan: TransportPlan;
  /** Its `onHint` hears everything that the proxy says until the race is over. */
  readonly admission: ClientGateOptions | undefined;
  readonly nowMs: () => number;
}

export interface DialResult {
  readonly dialled: Dialled;
  /** Over which anything came back. */
  readonly answered: ReadonlySet<Transport>;
  /** Until the first transport's addresses were known. */
  readonly resolveMs: number;
}

/** A QUIC connection to the vault, by whichever way leads there first. Rejects with `Failure`. */
export async function dial(options: DialOptions): Promise<DialResult> {
  const { plan, admission, nowMs, vault } = options;
  const { second, patienceMs } = plan;
  const startedMs = nowMs();
  let resolveMs = 0;
  const first = routeOf(plan.first, options);
  const race = new DialRace({
    first: {
      ...first,
      targets: async () => {
        const targets = await first.targets();
        resolveMs = nowMs() - startedMs;
        return targets;
      },
    },
    second: second && { route: routeOf(second.transport, options), afterMs: second.afterMs },
    patienceMs,
    admission,
    timing: clientLimits,
    nowMs,
  });
  const dialled = await race.run();
  if (dialled === null) throw dialFailure(vault, race, admission !== undefined);
  return { dialled, answered: race.answered, resolveMs };
}

function routeOf(transport: Transport, { address, webUrl }: DialOptions): DialRoute {
  if (transport === "quic") return udpRoute(address);
  if (webUrl === undefined) throw new RangeError("A plan with TCP and no address for it");
  return webRoute(webUrl);
}
