import { version } from "../../../cli/program.ts";
import { Failure } from "../../../cli/failure.ts";
import { systemFailure } from "../../../cli/system-failure.ts";
import type { ByteStream } from "../../../protocol/byte-stream.ts";
import { FrameStream } from "../../../protocol/frame.ts";
import { request, type Status, statusSchema } from "../../../protocol/message.ts";
import { within } from "../../../system/within.ts";
import { answer } from "../link/answer.ts";
import type { AttestedLink, LinkConnection, LinkState } from "../link/attested-link.ts";
import { carryStream } from "./carry-stream.ts";
import { clientLimits } from "../limits.ts";
import { mayRetry } from "./link-loss.ts";
import { LinkClient } from "./link-client.ts";
import {
  decodeMessage,
  encodeMessage,
  type LinkDescription,
  type LinkFailed,
  type LinkRequest,
  linkRequestSchema,
  type LinkUp,
} from "./link-message.ts";
import { SharedFrames } from "./shared-frame.ts";
import { SharedStream } from "./shared-stream.ts";

export interface LinkHostOptions {
  readonly vault: string;
  /** The configuration that has it. */
  readonly config: string;
  /** The socket's name in its folder. */
  readonly socket: string;
  readonly idleMs: number;
  /** Told of each command and each stream, and by what it returns of that one's end. */
  readonly onRequest?: () => () => void;
  readonly monotonicMs: () => number;
  readonly wallMs: () => number;
}

/**
 * One attested link, and the commands that use it. It ends when nobody has used it for a while, and at
 * once when nobody does and it is not up; a retired one goes with its last command.
 */
export class LinkHost {
  readonly #options: LinkHostOptions;
  readonly #clients = new Set<LinkClient>();
  readonly #ended = Promise.withResolvers<void>();
  readonly #startedMs: number;
  readonly #startedWallMs: number;
  #link: AttestedLink | undefined;
  #state: "opening" | "up" | "down" = "opening";
  #generation = 0;
  #downSinceMs = 0;
  #attempt = 0;
  #status: { readonly value: Status; readonly atMs: number } | undefined;
  /** Said before the first command could listen. */
  readonly #early: string[] = [];
  #streams = 0;
  #isRetired = false;
  #failed: LinkFailed | undefined;
  #idleSinceMs: number;
  #idleTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: LinkHostOptions) {
    this.#options = options;
    this.#startedMs = options.monotonicMs();
    this.#startedWallMs = options.wallMs();
    this.#idleSinceMs = this.#startedMs;
    this.#restIfUnused();
  }

  /** Resolves when the link is to be ended. */
  get ended(): Promise<void> {
    return this.#ended.promise;
  }

  /** Held too long to be given to the next command. A computer that sleeps stops the one clock. */
  get isOld(): boolean {
    const { monotonicMs, wallMs } = this.#options;
    const ages = [monotonicMs() - this.#startedMs, wallMs() - this.#startedWallMs];
    return Math.max(...ages) > clientLimits.linkAgeMs;
  }

  /** It stands for the first time. */
  use(link: AttestedLink): void {
    this.#link = link;
    this.#learn(link.login.status);
    // It may have gone down again before it was given to us.
    if (this.#state === "down") this.#awaitEnd(link);
    else this.receiveState({ kind: "up" });
  }

  receiveState(state: LinkState): void {
    if (state.kind === "up") {
      if (this.#link === undefined) return;
      if (this.#state === "down") this.#learn(this.#link.login.status);
      this.#state = "up";
      this.#generation += 1;
      for (const client of this.#clients) client.tell(this.#up());
      this.#restIfUnused();
      return;
    }
    const isNew = this.#state === "up";
    this.#state = "down";
    this.#downSinceMs = state.sinceMs;
    this.#attempt = state.attempt;
    for (const client of this.#clients) client.tell(this.#down());
    if (isNew && this.#link !== undefined) this.#awaitEnd(this.#link);
    this.#restIfUnused();
  }

  /** Of a link that is down: what dialling again cannot cure. */
  #awaitEnd(link: AttestedLink): void {
    link.connection().catch((error: unknown) => this.fail(error));
  }

  /** It could not be made, or not be made again: the commands hear why. */
  fail(error: unknown): void {
    const news = asNews(error);
    for (const client of this.#clients) client.tell(news);
    this.#failed = news;
    // Whoever started it is on the way and wants to know as well.
    setTimeout(() => this.#ended.resolve(), this.#clients.size > 0 ? 0 : clientLimits.linkOrphanMs);
  }

  /** A line for stderr: for the commands that wait for the first login, later for those that want to hear more. */
  notice(text: string): void {
    if (this.#clients.size === 0 && this.#generation === 0) {
      if (this.#early.length < clientLimits.linkNoticesMax) this.#early.push(text);
      return;
    }
    for (const client of this.#clients)
      if (this.#generation === 0 || client.verbose > 0) client.tell({ type: "notice", text });
  }

  /** No new commands come; those that are there are served to their end. */
  retire(): void {
    this.#isRetired = true;
    this.#restIfUnused();
  }

  /** A connection to the socket. Never rejects. */
  async serve(socket: ByteStream): Promise<void> {
    const frames = new SharedFrames(socket);
    try {
      const first = await within(frames.read(), clientLimits.linkWelcomeMs);
      if (first === null || typeof first === "symbol") return;
      await this.#route(decodeMessage(linkRequestSchema, first), frames);
    } catch {
      // Not one of ours, or one that is gone.
    } finally {
      await frames.end().catch(() => undefined);
    }
  }

  async #route(wish: LinkRequest, frames: SharedFrames): Promise<void> {
    // To be looked at is no work: a prompt that shows the link may do it each second.
    const isWork = wish.type === "client" || wish.type === "stream";
    const over = isWork ? this.#options.onRequest?.() : undefined;
    try {
      await this.#answer(wish, frames);
    } finally {
      over?.();
    }
  }

  async #answer(wish: LinkRequest, frames: SharedFrames): Promise<void> {
    switch (wish.type) {
      case "client":
        return this.#serveClient(wish.verbose, frames);
      case "stream":
        return this.#serveStream(wish.generation, frames);
      case "describe":
        return frames.write(encodeMessage(this.describe()));
      case "stop":
        this.#ended.resolve();
        // Its end is the answer.
        return frames.write(encodeMessage(this.describe()));
    }
  }

  describe(): LinkDescription {
    const nowMs = this.#options.monotonicMs();
    return {
      vault: this.#options.vault,
      config: this.#options.config,
      state: this.#state,
      machine_id: this.#link?.login.machine.machineId ?? null,
      age_ms: Math.round(nowMs - this.#startedMs),
      idle_ms: this.#isUsed ? null : Math.round(nowMs - this.#idleSinceMs),
      clients: this.#clients.size,
      streams: this.#streams,
      pid: process.pid,
      version,
    };
  }

  async #serveClient(verbose: number, frames: SharedFrames): Promise<void> {
    if (this.#clients.size >= clientLimits.linkClientsMax) return;
    const client = new LinkClient(frames, verbose);
    client.tell({ type: "welcome", socket: this.#options.socket });
    const early = this.#early.splice(0).join("");
    if (early !== "") client.tell({ type: "notice", text: early });
    this.#clients.add(client);
    this.#restIfUnused();
    try {
      if (this.#failed !== undefined) client.tell(this.#failed);
      else if (this.#state === "down") client.tell(this.#down());
      else if (this.#state === "up") {
        const attested = this.#attested;
        await this.#refreshStatus();
        // Whatever came meanwhile was told already.
        if (attested === this.#attested) client.tell(this.#up());
      }
      for (;;) {
        const wish = await client.next();
        if (wish === null) return;
        if (wish.type === "retry") this.#link?.retryNow();
        else if (this.#link !== undefined)
          client.tell({ type: "stats", stats: this.#link.connectionStats });
      }
    } finally {
      this.#clients.delete(client);
      this.#unused();
    }
  }

  /** The number of the connection in use, or 0 while there is none. */
  get #attested(): number {
    return this.#state === "up" ? this.#generation : 0;
  }

  /** A socket that closes without a word is what a lost connection looks like. */
  async #serveStream(generation: number, frames: SharedFrames): Promise<void> {
    if (this.#attested !== generation || this.#link === undefined) return;
    this.#streams += 1;
    this.#restIfUnused();
    const near = new SharedStream(frames);
    try {
      const connection = await this.#link.connection();
      if (this.#attested !== generation) return near.lose();
      await carryStream(near, await connection.openStream());
      await near.over;
    } catch {
      near.lose();
    } finally {
      this.#streams -= 1;
      this.#unused();
    }
  }

  #up(): LinkUp {
    if (this.#link === undefined || this.#status === undefined)
      throw new RangeError("Not up at all");
    const { login, connectionStats, origin } = this.#link;
    return {
      type: "up",
      generation: this.#generation,
      login: { version: login.version, machine: login.machine, status: this.#status.value },
      phases: origin.phases ?? { dnsMs: 0, quicMs: 0, attestMs: 0, authMs: 0 },
      stats: connectionStats,
    };
  }

  #down(): { type: "down"; attempt: number; forMs: number } {
    const forMs = this.#options.monotonicMs() - this.#downSinceMs;
    return { type: "down", attempt: this.#attempt, forMs };
  }

  #learn(value: Status): void {
    this.#status = { value, atMs: this.#options.monotonicMs() };
  }

  /** A machine that was cold may have been provisioned since, and the other way round. */
  async #refreshStatus(): Promise<void> {
    const known = this.#status;
    const ageMs = this.#options.monotonicMs() - (known?.atMs ?? 0);
    if (known?.value.vm_state === "ready" && ageMs < clientLimits.linkStatusMs) return;
    try {
      const connection: LinkConnection | undefined = await this.#link?.connection();
      if (connection === undefined) return;
      const frames = new FrameStream(await connection.openStream());
      const asking = request(frames, { type: "status" }, statusSchema);
      this.#learn(await answer(asking, clientLimits.linkWelcomeMs));
      await frames.stream.end();
    } catch {
      // What was known is told; what is wrong with the link shows by itself.
    }
  }

  get #isUsed(): boolean {
    return this.#clients.size > 0 || this.#streams > 0;
  }

  #unused(): void {
    this.#idleSinceMs = this.#options.monotonicMs();
    this.#restIfUnused();
  }

  #restIfUnused(): void {
    clearTimeout(this.#idleTimer);
    if (this.#isUsed) return;
    if (this.#isRetired) {
      this.#ended.resolve();
      return;
    }
    const restMs = this.#state === "up" ? this.#options.idleMs : clientLimits.linkOrphanMs;
    this.#idleTimer = setTimeout(() => this.#ended.resolve(), restMs);
  }
}

function asNews(error: unknown): LinkFailed {
  const failure =
    error instanceof Failure
      ? error
      : (systemFailure(error) ??
        new Failure(
          "FV-INT-001",
          `bug: ${error instanceof Error ? error.message : String(error)}`,
        ));
  const { code, message, because, fix, checklist } = failure;
  const retryable = mayRetry(error);
  return { type: "failed", code, message, because, fix, checklist, retryable };
}
