import type { Context } from "../../../cli/context.ts";
import { parseProxyMasters } from "../../../quic/proxy-master.ts";
import { receiveBufferBytes } from "../../../system/datagram-socket.ts";
import { raiseDescriptorLimit } from "../../../system/descriptor-limit.ts";
import type { Log, LogLevel } from "../../../system/log.ts";
import { dieWithParent, forbidInspection } from "../../../system/process.ts";
import type { Instant } from "../decision.ts";
import { Door } from "./door.ts";
import { proxyLimits } from "../limits.ts";
import { openPublicSocket, type PublicSocket } from "./public-socket.ts";
import { RelayCore } from "./relay-core.ts";
import { RelayCounters } from "../relay-counters.ts";
import { DropLog } from "./drop-log.ts";
import { RelayLoop } from "./relay-loop.ts";
import { RecordsPipe, ReportsPipe, readSecrets, RequestsPipe } from "./relay-pipes.ts";
import { decodeRelayPlan, type RelayPlan } from "../relay-plan.ts";

/**
 * `proxy relay PLAN`: everything that reads what strangers send by UDP. Has the masters, and no token of
 * any API; when it dies, another one needs nothing of what this one knew.
 */
export async function runRelay(
  planJson: string,
  context: Context,
  logAt: (level: LogLevel) => Log,
): Promise<number> {
  const reports = new ReportsPipe();
  try {
    const plan = decodeRelayPlan(planJson);
    if (!dieWithParent(plan.brokerPid)) return 0;
    // Whoever stops the broker in a terminal stops us all: it decides when we end.
    context.onStop(() => undefined);
    forbidInspection();
    await serve(plan, context, { log: logAt(plan.logLevel), reports });
    return 0;
  } catch (error) {
    reports.write({
      kind: "failed",
      message: error instanceof Error ? error.message : String(error),
    });
    return 1;
  }
}

async function serve(
  plan: RelayPlan,
  context: Context,
  { log, reports }: { readonly log: Log; readonly reports: ReportsPipe },
): Promise<void> {
  const { masters, doorCookie } = readSecrets();
  const core = new RelayCore({
    masters: masters === undefined ? [] : parseProxyMasters(masters),
    open: plan.open,
    randomBytes: context.randomBytes,
    sessionTimeoutMs: plan.sessionTimeoutMs,
    machineBitsPerSecond: plan.machineBitsPerSecond,
  });
  raiseDescriptors(log);
  const counters = new RelayCounters();
  const [seed = 0] = new Uint32Array(context.randomBytes(4).buffer);
  const publicSockets = plan.listen.map((address, index) =>
    openPublicSocket(address, counters, { index, seed }),
  );
  const door = new Door(Buffer.from(doorCookie, "hex"), counters);
  const drops = new DropLog(log);
  const loop = new RelayLoop({
    core,
    publicSockets,
    door,
    backendPort: plan.backendPort,
    counters,
    records: new RecordsPipe(),
    requests: new RequestsPipe(),
    now: (): Instant => ({ monotonicMs: context.monotonicMs(), wallMs: context.wallMs() }),
    mistaken: (error) => drops.mistake(error),
    report: (): void => {
      const lost = { ...core.drops, ...counters.drops };
      drops.write(lost);
      reports.write({
        kind: "metrics",
        counters: counters.counters,
        drops: lost,
        gauges: { ...core.gauges, ...loop.gauges },
      });
    },
  });
  const addresses = publicSockets.map(({ address }) => address);
  reports.write({ kind: "listening", addresses, doorPort: door.port });
  for (const { host, port } of addresses) log("info", "listening", { host, port });
  warnOfSmallBuffers(publicSockets, log);
  await loop.run();
  loop.close();
}

function raiseDescriptors(log: Log): void {
  const wanted = proxyLimits.flowsMax + proxyLimits.descriptorsElse;
  const descriptors = raiseDescriptorLimit(wanted);
  const flows = Math.max(0, descriptors - proxyLimits.descriptorsElse);
  if (descriptors < wanted) log("warn", "few-descriptors", { descriptors, flows });
}

/** Root has what it asks for; others what the system allows to all, in which little of a burst has room. */
function warnOfSmallBuffers(publicSockets: readonly PublicSocket[], log: Log): void {
  const wanted = proxyLimits.publicBufferBytes;
  const bytes = Math.min(...publicSockets.map(({ way }) => receiveBufferBytes(way.descriptor)));
  if (bytes < wanted) log("warn", "small-buffers", { bytes, wanted, sysctl: "net.core.rmem_max" });
}
