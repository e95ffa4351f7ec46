import type { Context } from "../../../cli/context.ts";
import type { ByteStream } from "../../../protocol/byte-stream.ts";
import type {
  AttestedLink,
  LinkConnection,
  LinkLogin,
  LinkOrigin,
  LinkPhases,
  LinkStats,
} from "./attested-link.ts";

/** A link as it is, that notes when the machine first answered on a stream: `--timing`. */
export class TimedLink implements AttestedLink {
  readonly #link: AttestedLink;
  readonly #clock: Pick<Context, "monotonicMs">;
  readonly #inner = new WeakMap<LinkConnection, LinkConnection>();
  readonly #upMs: number;
  #answeredMs: number | undefined;

  constructor(link: AttestedLink, clock: Pick<Context, "monotonicMs">) {
    this.#link = link;
    this.#clock = clock;
    this.#upMs = clock.monotonicMs();
  }

  /** Until the machine's first answer, counted from the start of the program. */
  get line(): string {
    const endMs = this.#answeredMs ?? this.#clock.monotonicMs();
    return timingLine(this.origin, { spawnMs: endMs - this.#upMs, totalMs: endMs });
  }

  get login(): LinkLogin {
    return this.#link.login;
  }

  get origin(): LinkOrigin {
    return this.#link.origin;
  }

  get connectionStats(): LinkStats {
    return this.#link.connectionStats;
  }

  async freshStats(): Promise<LinkStats> {
    return this.#link.freshStats();
  }

  async connection(): Promise<LinkConnection> {
    const inner = await this.#link.connection();
    const timed: LinkConnection = {
      openStream: async () => this.#timed(await inner.openStream()),
      closed: inner.closed,
    };
    this.#inner.set(timed, inner);
    return timed;
  }

  isCurrent(connection: LinkConnection): boolean {
    return this.#link.isCurrent(this.#inner.get(connection) ?? connection);
  }

  async pause(attempt: number): Promise<void> {
    await this.#link.pause(attempt);
  }

  retryNow(): void {
    this.#link.retryNow();
  }

  async close(): Promise<void> {
    await this.#link.close();
  }

  #timed(stream: ByteStream): ByteStream {
    return {
      read: async () => {
        const bytes = await stream.read();
        this.#answeredMs ??= this.#clock.monotonicMs();
        return bytes;
      },
      write: (bytes) => stream.write(bytes),
      end: () => stream.end(),
      abort: (code) => stream.abort(code),
    };
  }
}

/** `dns 1 · quic 38 · attest 41 · auth 19 · spawn 6 · total 105 ms (link: new)` */
export function timingLine(
  { kind, phases }: LinkOrigin,
  { spawnMs, totalMs }: { readonly spawnMs: number; readonly totalMs: number },
): string {
  const facts = phases === undefined ? [] : [...words(phases), `spawn ${Math.round(spawnMs)}`];
  return [...facts, `total ${Math.round(totalMs)} ms (link: ${kind})`].join(" · ");
}

function words({ dnsMs, quicMs, attestMs, authMs }: LinkPhases): string[] {
  return [
    `dns ${Math.round(dnsMs)}`,
    `quic ${Math.round(quicMs)}`,
    `attest ${Math.round(attestMs)}`,
    `auth ${Math.round(authMs)}`,
  ];
}
