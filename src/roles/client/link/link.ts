import type { Context } from "../../../cli/context.ts";
import { Failure } from "../../../cli/failure.ts";
import { closeCodes, type CloseReason, type Connection } from "../../../quic/connection.ts";
import type { Endpoint } from "../../../quic/endpoint.ts";
import { late, within } from "../../../system/within.ts";
import type {
  AttestedLink,
  LinkConnection,
  LinkOrigin,
  LinkPhases,
  LinkState,
} from "./attested-link.ts";
import { backoffMs } from "../dial/backoff.ts";
import { clientLimits } from "../limits.ts";
import { givenUp, mayRetry, pauseBetween } from "../shared-link/link-loss.ts";
import { type LinkSample, LinkWatch } from "./link-watch.ts";
import { fromCloseReason, noAnswer } from "./remote-failure.ts";
import type { PerformedLogin } from "../dial/login.ts";
import { LoginFailure } from "../dial/login-failure.ts";
import { NetworkChanged, type PathNotice, type PathNotices } from "../dial/path-notices.ts";
import { Wakeup } from "./wakeup.ts";

/** A connection that was logged in over. */
export interface OpenedConnection {
  readonly endpoint: Pick<Endpoint, "rebind" | "close">;
  readonly connection: Connection;
  readonly login: PerformedLogin;
  readonly notices: PathNotices;
  readonly phases?: LinkPhases;
}

export interface LinkOptions {
  readonly vault: string;
  /** Dials and logs in; rejects with `Failure`. */
  readonly open: () => Promise<OpenedConnection>;
  /** Give up after being down for so long; without it never. */
  readonly reconnectMs?: number | undefined;
  readonly clock: Pick<Context, "monotonicMs" | "wallMs">;
  readonly onState?: (state: LinkState) => void;
}

/**
 * The attested connection to a vault, made again whenever it is lost. The first time everything that
 * goes wrong is final, but for a machine that is busy; later only what dialling again cannot cure.
 */
export class Link implements AttestedLink {
  readonly #options: LinkOptions;
  #timer: ReturnType<typeof setInterval>;
  readonly #retryNow = new Wakeup();
  #opened: OpenedConnection;
  #watch = new LinkWatch();
  #lost: Failure | undefined;
  #reopening: Promise<Connection> | undefined;
  #movedMs = Number.NEGATIVE_INFINITY;
  #closed = false;

  private constructor(options: LinkOptions, opened: OpenedConnection) {
    this.#options = options;
    this.#opened = opened;
    this.#follow(opened);
    this.#timer = setInterval(() => this.#observe(), clientLimits.watchEveryMs);
  }

  static async open(options: LinkOptions): Promise<Link> {
    const startedMs = options.clock.monotonicMs();
    for (let attempt = 1; ; attempt += 1) {
      try {
        return new Link(options, await options.open());
      } catch (error) {
        if (!(error instanceof LoginFailure) || !passes.has(error.code)) throw error;
        const pauseMs = error.retryAfterMs ?? 2 * backoffMs(attempt, Math.random());
        const spentMs = options.clock.monotonicMs() - startedMs;
        if (spentMs + pauseMs > clientLimits.loginRetryMs) throw error;
        await Bun.sleep(pauseMs);
      }
    }
  }

  get login(): PerformedLogin {
    return this.#opened.login;
  }

  get origin(): LinkOrigin {
    const { phases } = this.#opened;
    return { kind: "own", ...(phases === undefined ? {} : { phases }) };
  }

  get connectionStats(): ReturnType<Connection["stats"]> {
    return this.#opened.connection.stats();
  }

  async freshStats(): Promise<ReturnType<Connection["stats"]>> {
    return this.connectionStats;
  }

  /** The connection, waiting for it while the link is down. Rejects with the `Failure` that ended it. */
  async connection(): Promise<Connection> {
    if (this.#closed) throw new Failure("FV-NET-003", "the link was closed");
    if (this.#lost === undefined) return this.#opened.connection;
    this.#reopening ??= this.#reopen().finally(() => {
      this.#reopening = undefined;
    });
    return this.#reopening;
  }

  /** Whether the link stands and it is by this connection. */
  isCurrent(connection: LinkConnection): boolean {
    return this.#lost === undefined && this.#opened.connection === connection;
  }

  /** Wait between attempts at something over a link that stands. */
  async pause(attempt: number): Promise<void> {
    await pauseBetween(attempt, this.#options.vault, this.#options.reconnectMs);
  }

  /** No more waiting: the user asked, or the computer woke up. */
  retryNow(): void {
    this.#retryNow.call();
  }

  /** How often it looks whether it is lost, and first of all now. */
  lookEvery(everyMs: number): void {
    if (this.#closed) return;
    clearInterval(this.#timer);
    this.#timer = setInterval(() => this.#observe(), everyMs);
    this.#observe();
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#timer);
    this.#retryNow.call();
    this.#opened.connection.close(closeCodes.done, "");
    await this.#opened.endpoint.close();
  }

  #follow(opened: OpenedConnection): void {
    this.#opened = opened;
    this.#watch = new LinkWatch();
    this.#watch.observe(this.#sample());
    this.#lost = undefined;
    void opened.connection.closed.then((reason) => this.#receiveClose(opened, reason));
    opened.notices.listen((notice) => void this.#receiveNotice(opened, notice));
  }

  /**
   * The proxy is going, or the WebSocket broke: the connection itself is whole and goes on from a new
   * socket, by whatever proxy is there now. Where that does not help, a new connection may.
   */
  async #receiveNotice(opened: OpenedConnection, notice: PathNotice): Promise<void> {
    if (!this.#stands(opened)) return;
    const nowMs = this.#options.clock.monotonicMs();
    const movedLately = nowMs - this.#movedMs < clientLimits.moveEveryMs;
    if (movedLately && notice === "draining") return;
    this.#movedMs = nowMs;
    try {
      if (movedLately) throw new Error("It broke again");
      await opened.endpoint.rebind();
      if (this.#stands(opened)) this.#watch.moved(this.#sample());
    } catch {
      if (this.#stands(opened)) this.#giveUp(opened);
    }
  }

  #stands(opened: OpenedConnection): boolean {
    return !this.#closed && opened === this.#opened && this.#lost === undefined;
  }

  #receiveClose(opened: OpenedConnection, reason: CloseReason): void {
    if (!this.#stands(opened)) return;
    this.#lose(fromCloseReason(reason, this.#options.vault));
  }

  #lose(failure: Failure): void {
    this.#lost = failure;
    // Comes back by itself: a console that nobody types into wants to be there when they do.
    this.connection().catch(() => undefined);
  }

  async #reopen(): Promise<Connection> {
    const { clock, reconnectMs = Number.POSITIVE_INFINITY, onState } = this.#options;
    const sinceMs = clock.monotonicMs();
    await this.#opened.endpoint.close();
    for (let attempt = 0; ; attempt += 1) {
      onState?.({ kind: "down", sinceMs, attempt });
      await within(this.#retryNow.wait(), backoffMs(attempt, Math.random()));
      if (this.#closed) throw new Failure("FV-NET-003", "the link was closed");
      const leftMs = sinceMs + reconnectMs - clock.monotonicMs();
      try {
        this.#follow(await this.#openWithin(leftMs));
        onState?.({ kind: "up" });
        return this.#opened.connection;
      } catch (error) {
        if (!mayRetry(error)) throw error;
        if (clock.monotonicMs() - sinceMs < reconnectMs) continue;
        throw givenUp(this.#options.vault, error, reconnectMs);
      }
    }
  }

  /** One that comes through too late is closed again. */
  async #openWithin(limitMs: number): Promise<OpenedConnection> {
    const opening = this.#options.open();
    if (!Number.isFinite(limitMs)) return opening;
    const opened = await within(opening, Math.max(0, limitMs));
    if (opened !== late) return opened;
    opening.then(({ endpoint }) => endpoint.close()).catch(() => undefined);
    throw noAnswer(this.#options.vault, "it did not answer in the time left");
  }

  #sample(): LinkSample {
    const { clock } = this.#options;
    const { sentPackets, receivedPackets } = this.#opened.connection.stats();
    const [monotonicMs, wallMs] = [clock.monotonicMs(), clock.wallMs()];
    return { monotonicMs, wallMs, sentPackets, receivedPackets };
  }

  #observe(): void {
    const verdict = this.#watch.observe(this.#sample());
    if (verdict === "fine") return;
    if (verdict === "probe") {
      this.#opened.connection.ping?.();
      return;
    }
    this.#retryNow.call();
    if (this.#lost !== undefined) return;
    if (verdict === "rebind") {
      const opened = this.#opened;
      opened.endpoint.rebind().catch((error: unknown) => {
        // No network at all right now: the next look decides.
        if (error instanceof NetworkChanged && this.#stands(opened)) this.#giveUp(opened);
      });
      return;
    }
    this.#giveUp(this.#opened);
  }

  #giveUp({ connection }: OpenedConnection): void {
    this.#lose(new Failure("FV-NET-003", `the link to "${this.#options.vault}" was lost`));
    connection.close(closeCodes.done, "");
  }
}

/** A machine that is asked too often, or whose link is just restarting; anything else is told at once. */
const passes: ReadonlySet<string> = new Set(["FV-NET-003", "FV-NET-004", "FV-ATT-008"]);
