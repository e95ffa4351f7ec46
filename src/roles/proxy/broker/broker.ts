import { version } from "../../../cli/program.ts";
import { type ApiClock, systemClock } from "../../../fly/api-clock.ts";
import { MachinesApi } from "../../../fly/machines-api.ts";
import type { Log, LogFields } from "../../../system/log.ts";
import type { RelayRecord } from "../broker-record.ts";
import { brokerLimits } from "./broker-limits.ts";
import { ChildSupervisor } from "./child-supervisor.ts";
import { type Health, healthOf } from "./health.ts";
import { MachineDesk } from "./machine-desk.ts";
import { MetricsPage } from "./metrics-page.ts";
import type { ProxyOptions } from "./options.ts";
import type { ProxySecrets } from "./proxy-secrets.ts";
import type { RelayPlan, RelayReport } from "../relay-plan.ts";
import { RelayProcess } from "./relay-process.ts";
import { ReportedMetrics } from "./reported-metrics.ts";
import { LabelledCount } from "./labelled-count.ts";
import type { WebPlan, WebReport } from "../web-plan.ts";
import { WebProcess } from "./web-process.ts";

export interface BrokerOptions {
  readonly options: ProxyOptions;
  readonly relayPlan: RelayPlan;
  /** Undefined where nothing is to be served by HTTP. */
  readonly webPlan: WebPlan | undefined;
  readonly secrets: ProxySecrets;
  /** How relay and web process are started. */
  readonly program: readonly string[];
  readonly doorCookie: string;
  readonly log: Log;
}

/** The one with the API token, between the machines and the two processes that strangers can talk to. */
export class Broker {
  readonly #options: BrokerOptions;
  readonly #clock: ApiClock = systemClock;
  readonly #controller = new AbortController();
  readonly #calls = new LabelledCount("api_calls_total", ["call", "outcome"]);
  readonly #desk: MachineDesk;
  readonly #relay: ChildSupervisor<RelayProcess>;
  readonly #web: ChildSupervisor<WebProcess> | undefined;
  readonly #relayMetrics = new ReportedMetrics("relay");
  readonly #webMetrics = new ReportedMetrics("web");
  #listen: RelayPlan["listen"];
  #doorPort: number | undefined;
  #draining = false;
  #health: Health | undefined;
  #ticks: NodeJS.Timeout | undefined;

  constructor(options: BrokerOptions) {
    this.#options = options;
    this.#listen = options.relayPlan.listen;
    this.#desk = new MachineDesk({
      api: this.#openApi(),
      refreshIntervalMs: options.options.refreshIntervalMs,
      clock: this.#clock,
      signal: this.#controller.signal,
      log: options.log,
      tell: (record) => this.#relay.current?.tell(record),
    });
    const { log } = options;
    const { monotonicMs } = this.#clock;
    this.#relay = new ChildSupervisor({
      name: "relay",
      launch: () => this.#launchRelay(),
      onEnd: () => this.#relayEnded(),
      firstTriesMax: brokerLimits.relayFirstTriesMax,
      log,
      monotonicMs,
    });
    const plan = options.webPlan;
    if (plan !== undefined)
      this.#web = new ChildSupervisor({
        name: "web",
        launch: () => this.#launchWeb(plan),
        onEnd: () => this.#webMetrics.ended(),
        log,
        monotonicMs,
      });
  }

  /** The relay and the web process do not wait for the first list of machines. */
  start(): void {
    this.#relay.start();
    this.#web?.start();
    this.#desk.start();
    this.#ticks = setInterval(() => this.#tick(), brokerLimits.tickMs);
  }

  /** Resolves, with why, when the relay could never listen. */
  get hopeless(): Promise<LogFields> {
    return this.#relay.givenUp;
  }

  /** No new clients from now on; those there are told to go elsewhere. */
  drain(): void {
    this.#draining = true;
    this.#relay.current?.tell({ kind: "drain" });
    this.#web?.current?.tell({ kind: "drain" });
    this.#tick();
  }

  async stop(): Promise<void> {
    clearInterval(this.#ticks);
    this.#controller.abort();
    await Promise.all([this.#relay.stop(), this.#web?.stop()]);
  }

  async kill(): Promise<void> {
    clearInterval(this.#ticks);
    this.#controller.abort();
    await Promise.all([this.#relay.kill(), this.#web?.kill()]);
  }

  #openApi(): MachinesApi {
    const { options, secrets } = this.#options;
    return new MachinesApi({
      base: options.apiBase,
      token: secrets.token,
      app: options.app,
      userAgent: `vault-proxy/${version}`,
      clock: this.#clock,
      signal: this.#controller.signal,
      // Whatever fails is asked again by a client, or with the next list.
      attemptsMax: 2,
      observe: (action, outcome) => this.#calls.count(action.split(" ")[0] ?? "", outcome),
    });
  }

  #launchRelay(): RelayProcess {
    const { program, relayPlan, secrets, doorCookie } = this.#options;
    const relay = RelayProcess.start({
      program,
      plan: { ...relayPlan, listen: this.#listen },
      secrets: { masters: secrets.masters, doorCookie },
      onRequest: (request) => this.#desk.receive(request),
      onReport: (report) => this.#relayReported(report),
    });
    for (const record of this.#firstRecords()) relay.tell(record);
    return relay;
  }

  *#firstRecords(): Generator<RelayRecord> {
    yield* this.#desk.records();
    if (this.#draining) yield { kind: "drain" };
  }

  #relayReported(report: RelayReport): void {
    if (report.kind === "metrics") this.#relayMetrics.receive(report);
    if (report.kind !== "listening") return;
    this.#doorPort = report.doorPort;
    // Where the system chose a port, clients find the next relay there, too.
    this.#listen = this.#listen.map(({ host, port }, index) => ({
      host,
      port: port === 0 ? (report.addresses[index]?.port ?? 0) : port,
    }));
    this.#web?.current?.tell({ kind: "door", port: report.doorPort });
    const addresses = report.addresses.map(({ host, port }) => addressText(host, port));
    this.#options.log("info", "relay-listening", { addresses: addresses.join(" ") });
    this.#tick();
  }

  #relayEnded(): void {
    this.#relayMetrics.ended();
    this.#doorPort = undefined;
    this.#tick();
  }

  #launchWeb(plan: WebPlan): WebProcess {
    const { program, doorCookie } = this.#options;
    const web = WebProcess.start({
      program,
      plan,
      secrets: { doorCookie },
      onReport: (report) => this.#webReported(report),
    });
    if (this.#doorPort !== undefined) web.tell({ kind: "door", port: this.#doorPort });
    if (this.#draining) web.tell({ kind: "drain" });
    this.#tellWeb(web);
    return web;
  }

  #webReported(report: WebReport): void {
    if (report.kind === "metrics") this.#webMetrics.receive(report);
    if (report.kind !== "listening") return;
    const { http, metrics } = report;
    this.#options.log("info", "web-listening", {
      http: http && addressText(http.host, http.port),
      metrics: metrics && addressText(metrics.host, metrics.port),
    });
  }

  #tick(): void {
    const health = this.#currentHealth();
    if (health.ok !== this.#health?.ok || health.why !== this.#health.why) {
      this.#health = health;
      this.#options.log(health.ok ? "info" : "warn", "health", { ...health });
    }
    const web = this.#web?.current;
    if (web !== undefined) this.#tellWeb(web);
  }

  #tellWeb(web: WebProcess): void {
    web.tell({ kind: "health", ...this.#currentHealth() });
    web.tell({ kind: "metrics", text: this.#metricsText() });
  }

  #currentHealth(): Health {
    return healthOf({
      relayListens: this.#relay.isUp,
      isSynced: this.#desk.isSynced,
      directoryAgeMs: this.#desk.ageMs(this.#clock.monotonicMs()),
      draining: this.#draining,
    });
  }

  #metricsText(): string {
    const page = new MetricsPage();
    page.add("healthy", Number(this.#currentHealth().ok));
    page.add("draining", Number(this.#draining));
    for (const [process, child] of [["relay", this.#relay] as const, ["web", this.#web] as const]) {
      if (child === undefined) continue;
      page.add("process_up", Number(child.isUp), { process });
      page.add("process_restarts_total", child.restarts, { process });
    }
    this.#calls.addTo(page);
    this.#desk.addTo(page, this.#clock.monotonicMs());
    this.#relayMetrics.addTo(page);
    this.#webMetrics.addTo(page);
    return page.text();
  }
}

function addressText(host: string, port: number): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}
