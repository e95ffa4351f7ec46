import type { Context } from "../../../cli/context.ts";
import type { ByteStream } from "../../../protocol/byte-stream.ts";
import type {
  AttestedLink,
  LinkConnection,
  LinkLogin,
  LinkOrigin,
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

/** `start 30 · dns 1 · quic 38 · attest 41 · auth 19 · spawn 6 · total 135 ms (link: new)` */
export function timingLine(
  { kind, phases }: LinkOrigin,
  { spawnMs, totalMs }: { readonly spawnMs: number; readonly totalMs: number },
): string {
  const total = `total ${Math.round(totalMs)} ms (link: ${kind})`;
  if (phases === undefined) return total;
  const { dnsMs, quicMs, attestMs, authMs } = phases;
  const known = { dns: dnsMs, quic: quicMs, attest: attestMs, auth: authMs, spawn: spawnMs };
  const facts = Object.entries(known).map(([name, ms]) => [name, Math.round(ms)] as const);
  // The program's own start, the background link's, and what was tried in vain: the whole is its parts.
  const restMs = Math.round(totalMs) - facts.reduce((sum, [, ms]) => sum + ms, 0);
  return [["start", Math.max(0, restMs)], ...facts, [total]]
    .map((fact) => fact.join(" "))
    .join(" · ");
}
