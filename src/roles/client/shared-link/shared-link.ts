import type { Context } from "../../../cli/context.ts";
import { Failure } from "../../../cli/failure.ts";
import type { ByteStream } from "../../../protocol/byte-stream.ts";
import { StreamError } from "../../../protocol/byte-stream.ts";
import { late, within } from "../../../system/within.ts";
import type {
  AttestedLink,
  LinkConnection,
  LinkLogin,
  LinkOrigin,
  LinkState,
  LinkStats,
} from "../link/attested-link.ts";
import { backoffMs } from "../dial/backoff.ts";
import { clientLimits } from "../limits.ts";
import { givenUp, mayRetry, pauseBetween } from "./link-loss.ts";
import {
  decodeMessage,
  encodeMessage,
  type LinkFailed,
  type LinkNews,
  linkNewsSchema,
  type LinkUp,
  type LinkWish,
} from "./link-message.ts";
import { LoginFailure } from "../dial/login-failure.ts";
import { NoSharedLink } from "./link-start.ts";
import type { SharedFrames } from "./shared-frame.ts";
import { SharedStream } from "./shared-stream.ts";
import { Wakeup } from "../link/wakeup.ts";

export interface SharedLinkOptions {
  readonly vault: string;
  readonly verbose: number;
  /** To the background link that there is, or to a new one. Rejects with `NoSharedLink`, or with the `Failure` of reading the token. */
  readonly connect: () => Promise<{ readonly frames: SharedFrames; readonly isNew: boolean }>;
  /** To one of its sockets, by name; undefined where nobody listens. */
  readonly connectSocket: (socket: string) => Promise<SharedFrames | undefined>;
  readonly reconnectMs?: number | undefined;
  readonly clock: Pick<Context, "monotonicMs">;
  /** What the link has to say to a person. */
  readonly notice: (text: string) => void;
  readonly onState?: (state: LinkState) => void;
}

/**
 * The attested link that a background process holds, as one command uses it. When that process is
 * gone, it is as if the connection were lost: there is another one soon.
 */
export class SharedLink implements AttestedLink {
  readonly #options: SharedLinkOptions;
  readonly #isNew: boolean;
  readonly #retryNow = new Wakeup();
  #frames: SharedFrames | undefined;
  #socket = "";
  #up: LinkUp | undefined;
  #login: LinkLogin | undefined;
  #stats: LinkUp["stats"] = { rttMs: 0, lostPackets: 0, sentPackets: 0 };
  #statsAsked: PromiseWithResolvers<void> | undefined;
  #connection: SharedConnection | undefined;
  #downSinceMs: number;
  /** At a new background process, since the last one was up. */
  #attempt = 0;
  #failure: Failure | undefined;
  #changed = Promise.withResolvers<void>();
  /** Why it was of no use from the start. */
  #broken: string | undefined;
  #closed = false;

  private constructor(options: SharedLinkOptions, isNew: boolean) {
    this.#options = options;
    this.#isNew = isNew;
    this.#downSinceMs = options.clock.monotonicMs();
  }

  /** Rejects with `NoSharedLink`, or with the `Failure` of dialling the vault for the first time. */
  static async open(options: SharedLinkOptions): Promise<SharedLink> {
    const { frames, isNew } = await options.connect();
    const link = new SharedLink(options, isNew);
    await link.#greet(frames);
    void link.#follow(frames);
    while (link.#connection === undefined) {
      if (link.#failure !== undefined) throw link.#failure;
      if (link.#broken !== undefined) {
        await link.close();
        throw new NoSharedLink(link.#broken);
      }
      await link.#changed.promise;
    }
    return link;
  }

  get login(): LinkLogin {
    if (this.#login === undefined) throw new RangeError("Not up yet");
    return this.#login;
  }

  get origin(): LinkOrigin {
    return this.#isNew && this.#up !== undefined
      ? { kind: "new", phases: this.#up.phases }
      : { kind: "reused" };
  }

  get connectionStats(): LinkStats {
    return this.#stats;
  }

  /** As known, where the background process does not answer. */
  async freshStats(): Promise<LinkStats> {
    if (this.#statsAsked === undefined) {
      this.#statsAsked = Promise.withResolvers();
      this.#wish({ type: "stats" });
    }
    await within(this.#statsAsked.promise, clientLimits.linkStatsMs);
    this.#statsAsked = undefined;
    return this.#stats;
  }

  async connection(): Promise<LinkConnection> {
    const { reconnectMs = Number.POSITIVE_INFINITY, clock, vault } = this.#options;
    for (;;) {
      if (this.#closed) throw new Failure("FV-NET-003", "the link was closed");
      if (this.#failure !== undefined) throw this.#failure;
      if (this.#connection !== undefined) return this.#connection;
      const leftMs = this.#downSinceMs + reconnectMs - clock.monotonicMs();
      if (leftMs <= 0) throw this.#giveUp(givenUp(vault, undefined, reconnectMs));
      if (Number.isFinite(leftMs)) await within(this.#changed.promise, leftMs);
      else await this.#changed.promise;
    }
  }

  isCurrent(connection: LinkConnection): boolean {
    return this.#connection === connection;
  }

  async pause(attempt: number): Promise<void> {
    await pauseBetween(attempt, this.#options.vault, this.#options.reconnectMs);
  }

  retryNow(): void {
    this.#retryNow.call();
    this.#wish({ type: "retry" });
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#retryNow.call();
    this.#setConnection(undefined);
    await this.#frames?.end().catch(() => undefined);
  }

  async #greet(frames: SharedFrames): Promise<void> {
    await frames.write(encodeMessage({ type: "client", verbose: this.#options.verbose }));
    const reading = frames.read().catch(() => null);
    const first = await within(reading, clientLimits.linkWelcomeMs);
    if (first === late || first === null) throw new NoSharedLink("the background link is silent");
    const news = decodeMessage(linkNewsSchema, first);
    if (news.type === "welcome") this.#socket = news.socket;
    this.#frames = frames;
  }

  /** Until it is gone; then there is another one, or the end of this link. */
  async #follow(frames: SharedFrames): Promise<void> {
    let final: LinkFailed | undefined;
    try {
      for (let frame = await frames.read(); frame !== null; frame = await frames.read()) {
        const news = decodeMessage(linkNewsSchema, frame);
        if (news.type === "failed") final = news;
        else this.#receive(news);
      }
    } catch {
      // Gone, whatever the way.
    }
    frames.close();
    if (this.#closed || this.#failure !== undefined) return;
    const isFirst = this.#login === undefined;
    if (final !== undefined && (isFirst || !final.retryable)) this.#giveUp(asFailure(final));
    else if (isFirst) this.#breakOff("the background link broke off");
    else await this.#again();
  }

  /** Before it was up at all. */
  #breakOff(why: string): void {
    this.#broken ??= why;
    this.#setConnection(undefined);
  }

  #receive(news: LinkNews): void {
    switch (news.type) {
      case "notice":
        this.#options.notice(news.text);
        return;
      case "up":
        this.#receiveUp(news);
        return;
      case "down":
        this.#receiveDown(news.attempt, news.forMs);
        return;
      case "stats":
        this.#stats = news.stats;
        this.#statsAsked?.resolve();
        return;
      case "welcome":
      case "failed":
        return;
    }
  }

  #receiveUp(up: LinkUp): void {
    const isAgain = this.#login !== undefined;
    this.#up = up;
    this.#attempt = 0;
    this.#stats = up.stats;
    const { machine } = up.login;
    this.#login = { ...up.login, machine: { ...noDetails, ...machine } };
    this.#setConnection(new SharedConnection(async () => this.#openStream(up.generation)));
    if (isAgain) this.#options.onState?.({ kind: "up" });
  }

  #receiveDown(attempt: number, forMs: number): void {
    const { clock, onState } = this.#options;
    // Who comes now would wait with those that had it, and be told nothing; a dial of its own is told of.
    if (this.#login === undefined) return this.#breakOff("it is down");
    if (this.#connection !== undefined || attempt === 0)
      this.#downSinceMs = clock.monotonicMs() - forMs;
    this.#setConnection(undefined);
    onState?.({ kind: "down", sinceMs: this.#downSinceMs, attempt });
  }

  /** The background process is gone, or could not dial. */
  async #again(): Promise<void> {
    const { reconnectMs = Number.POSITIVE_INFINITY, clock, connect, vault } = this.#options;
    let last: Failure | undefined;
    if (this.#connection !== undefined) this.#downSinceMs = clock.monotonicMs();
    for (;;) {
      const downMs = clock.monotonicMs() - this.#downSinceMs;
      if (downMs >= reconnectMs) return void this.#giveUp(givenUp(vault, last, reconnectMs));
      this.#receiveDown(this.#attempt, downMs);
      await within(this.#retryNow.wait(), backoffMs(this.#attempt, Math.random()));
      this.#attempt += 1;
      if (this.#closed || this.#failure !== undefined) return;
      try {
        const { frames } = await connect();
        await this.#greet(frames);
        return void this.#follow(frames);
      } catch (error) {
        if (error instanceof Failure && !mayRetry(error)) return void this.#giveUp(error);
        if (error instanceof Failure) last = error;
      }
    }
  }

  async #openStream(generation: number): Promise<ByteStream> {
    const frames = await this.#options.connectSocket(this.#socket);
    if (frames === undefined)
      throw new StreamError("connection-lost", "The background link is gone");
    await frames.write(encodeMessage({ type: "stream", generation }));
    return new SharedStream(frames);
  }

  #wish(wish: LinkWish): void {
    this.#frames?.write(encodeMessage(wish)).catch(() => undefined);
  }

  #giveUp(failure: Failure): Failure {
    this.#failure ??= failure;
    this.#setConnection(undefined);
    return this.#failure;
  }

  #setConnection(connection: SharedConnection | undefined): void {
    this.#connection?.lose();
    this.#connection = connection;
    const { resolve } = this.#changed;
    this.#changed = Promise.withResolvers<void>();
    resolve();
  }
}

class SharedConnection implements LinkConnection {
  readonly openStream: () => Promise<ByteStream>;
  readonly #closed = Promise.withResolvers<void>();

  constructor(openStream: () => Promise<ByteStream>) {
    this.openStream = openStream;
  }

  get closed(): Promise<unknown> {
    return this.#closed.promise;
  }

  lose(): void {
    this.#closed.resolve();
  }
}

function asFailure({ code, message, because, fix, checklist, retryable }: LinkFailed): Failure {
  const details = {
    ...(because === undefined ? {} : { because }),
    ...(fix === undefined ? {} : { fix }),
    ...(checklist === undefined ? {} : { checklist }),
  };
  return retryable
    ? new LoginFailure(code, message, { ...details, retryable })
    : new Failure(code, message, details);
}

/** Absent in JSON, undefined in the type. */
const noDetails = {
  machineName: undefined,
  region: undefined,
  image: undefined,
  imageDigest: undefined,
};
