import type { Context } from "../../../cli/context.ts";
import type { DatagramCarrier } from "../../../quic/carrier.ts";
import { SendBatch } from "../../../quic/send-batch.ts";
import { openUdp } from "../../../quic/udp-carrier.ts";
import type { Log, LogLevel } from "../../../system/log.ts";
import { dieWithParent, forbidInspection } from "../../../system/process.ts";
import { webLines } from "./web-lines.ts";
import { webLimits } from "./web-limits.ts";
import {
  decodeWebOrder,
  decodeWebPlan,
  decodeWebSecrets,
  encodeWebReport,
  type WebOrder,
  type WebPlan,
  type WebReport,
} from "../web-plan.ts";
import {
  openMetricsServer,
  openPublicServer,
  type WebServer,
  type WebState,
} from "./web-server.ts";
import { WebSocketDoor } from "./web-socket-door.ts";

/**
 * `proxy web PLAN`: what speaks HTTP. It has neither the API token nor a key: datagrams go to the relay
 * as they came. Ends with its stdin.
 */
export async function runWeb(
  planJson: string,
  context: Context,
  logAt: (level: LogLevel) => Log,
): Promise<number> {
  try {
    const plan = decodeWebPlan(planJson);
    if (!dieWithParent(plan.brokerPid)) return 0;
    forbidInspection();
    // A terminal's Ctrl-C is for the broker, which drains first and then ends us by our stdin.
    context.onStop(() => undefined);
    await serve(plan, context, logAt(plan.logLevel));
    return 0;
  } catch (error) {
    await report(context, {
      kind: "failed",
      message: error instanceof Error ? error.message : String(error),
    });
    return 1;
  }
}

async function serve(plan: WebPlan, context: Context, log: Log): Promise<void> {
  const lines = webLines(context.stdin.read(), webLimits.orderBytesMax)[Symbol.asyncIterator]();
  const first = await lines.next();
  if (first.done === true) return;
  const cookie = Buffer.from(decodeWebSecrets(first.value).doorCookie, "hex");
  const web = await Web.open(plan, cookie, context);
  try {
    log("info", "listening", { http: shown(web.http), metrics: shown(web.metrics) });
    await report(context, { kind: "listening", ...web.addresses });
    for (let line = await lines.next(); line.done !== true; line = await lines.next()) {
      const order = decodeWebOrder(line.value);
      if (order.kind !== "metrics") log("debug", "order", order);
      web.follow(order);
    }
  } finally {
    await web.close();
  }
}

/** The servers, the door, and the socket between it and the relay. */
class Web {
  readonly #door: WebSocketDoor;
  readonly #carrier: DatagramCarrier;
  readonly #batch = new SendBatch();
  readonly #state: WebState = { health: { ok: false, why: "starting" }, metrics: undefined };
  readonly #timers: ReturnType<typeof setInterval>[] = [];
  #doorPort: number | undefined;
  http: WebServer | undefined;
  metrics: WebServer | undefined;

  static async open(plan: WebPlan, cookie: Uint8Array, context: Context): Promise<Web> {
    const doors: WebSocketDoor[] = [];
    const carrier = await openUdp(anyPort, (frame) => doors[0]?.fromRelay(frame));
    const web = new Web(carrier, cookie, context);
    doors.push(web.#door);
    try {
      if (plan.http !== undefined)
        web.http = openPublicServer(plan.http, web.#door, web.#state, plan.trustClientIp);
      if (plan.metrics !== undefined) web.metrics = openMetricsServer(plan.metrics, web.#state);
    } catch (error) {
      await web.close();
      throw error;
    }
    web.#startTimers(context);
    return web;
  }

  private constructor(carrier: DatagramCarrier, cookie: Uint8Array, context: Context) {
    this.#carrier = carrier;
    const random = context.randomBytes(4);
    this.#door = new WebSocketDoor({
      cookie,
      firstNumber: new DataView(random.buffer, random.byteOffset).getUint32(0),
      send: (frame) => this.#send(frame),
      nowMs: context.monotonicMs,
    });
  }

  get addresses(): Pick<Extract<WebReport, { kind: "listening" }>, "http" | "metrics"> {
    return {
      ...(this.http === undefined ? {} : { http: this.http.address }),
      ...(this.metrics === undefined ? {} : { metrics: this.metrics.address }),
    };
  }

  follow(order: WebOrder): void {
    switch (order.kind) {
      case "door":
        this.#doorPort = order.port;
        return;
      case "metrics":
        this.#state.metrics = order.text;
        return;
      case "health":
        this.#state.health = order;
        return;
      case "drain":
        this.#door.drain();
    }
  }

  async close(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    await Promise.all([this.http?.stop(), this.metrics?.stop()]);
    this.#carrier.close();
  }

  #startTimers(context: Context): void {
    const count = (): void => {
      const { counters, gauges } = this.#door;
      void report(context, { kind: "metrics", counters: counters.values, gauges });
    };
    this.#timers.push(
      setInterval(() => this.#door.sweep(), webLimits.sweepEveryMs),
      setInterval(count, webLimits.reportEveryMs),
    );
  }

  #send(frame: Uint8Array): boolean {
    if (this.#doorPort === undefined) return false;
    this.#batch.load(frame, anyPort.host, this.#doorPort);
    return this.#carrier.send(this.#batch);
  }
}

/** The broker may be gone: its going ends us, not this. */
async function report(context: Context, message: WebReport): Promise<void> {
  await context.stdout.write(encodeWebReport(message)).catch(() => undefined);
}

function shown(server: WebServer | undefined): string | undefined {
  return server && `${server.address.host} port ${server.address.port}`;
}

const anyPort = { host: "127.0.0.1", port: 0 } as const;
