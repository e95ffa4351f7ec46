import type { DatagramCarrier } from "../../src/quic/carrier.ts";
import type { SocketAddress } from "../../src/quic/connection.ts";
import { SendBatch } from "../../src/quic/send-batch.ts";
import { openUdp } from "../../src/quic/udp-carrier.ts";
import { seededRandom } from "./seed.ts";

/** What the link does to datagrams, in both directions. Shares are from 0 to 1. */
export interface LinkOptions {
  /** The same seed gives the same decisions, datagram by datagram. */
  readonly seed?: number;
  readonly loss?: number;
  readonly duplicate?: number;
  /** Share of datagrams held back for `reorderMs`, so that later ones overtake them. */
  readonly reorder?: number;
  readonly reorderMs?: number;
  /** Share of datagrams in which one bit is flipped. */
  readonly corrupt?: number;
  /** One way. */
  readonly delayMs?: number;
  /** Datagrams above this size vanish, as on a path that does not say why. */
  readonly datagramBytesMax?: number;
  /** Sees every datagram that came in, before the link does anything to it. */
  readonly onDatagram?: (direction: Direction, datagram: Uint8Array) => void;
}

export type Direction = "to-server" | "to-client";

interface Flow {
  upstream: DatagramCarrier;
  readonly client: SocketAddress;
}

/** Stands between clients and one server on loopback, and behaves as badly as it is told. */
export class UdpRelay implements AsyncDisposable {
  readonly counts = { forwarded: 0, dropped: 0, duplicated: 0, reordered: 0, rebinds: 0 };
  #server: SocketAddress;
  readonly #random: () => number;
  readonly #batch = new SendBatch();
  readonly #flows = new Map<string, Flow>();
  readonly #timers = new Set<ReturnType<typeof setTimeout>>();
  #options: LinkOptions;
  #carrier: DatagramCarrier | undefined;
  #darkUntilMs = 0;
  #held = 0;

  private constructor(server: SocketAddress, options: LinkOptions) {
    this.#server = server;
    this.#options = options;
    this.#random = seededRandom(options.seed ?? 1);
  }

  static async open(server: SocketAddress, options: LinkOptions = {}): Promise<UdpRelay> {
    const relay = new UdpRelay(server, options);
    relay.#carrier = await openUdp({ host: "127.0.0.1", port: 0 }, (datagram, port, host) => {
      void relay.#fromClient(datagram, { host, port });
    });
    return relay;
  }

  /** Where clients send to. */
  get address(): SocketAddress {
    if (this.#carrier === undefined) throw new Error("The relay is not open");
    return this.#carrier.address;
  }

  /** Changes the behaviour from now on. */
  set(options: LinkOptions): void {
    this.#options = { ...this.#options, ...options };
  }

  /** What comes from now on goes to this server. */
  redirect(server: SocketAddress): void {
    this.#server = server;
  }

  /** Nothing passes for this long. */
  blackHole(durationMs: number): void {
    this.#darkUntilMs = performance.now() + durationMs;
  }

  /** As a NAT that forgot: the server sees each client at a new port from now on. */
  async rebind(): Promise<void> {
    for (const flow of this.#flows.values()) {
      const fresh = await this.#openUpstream(flow.client);
      flow.upstream.close();
      flow.upstream = fresh;
      this.counts.rebinds++;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const timer of this.#timers) clearTimeout(timer);
    for (const { upstream } of this.#flows.values()) upstream.close();
    this.#flows.clear();
    this.#carrier?.close();
    this.#carrier = undefined;
  }

  async #fromClient(datagram: Uint8Array, client: SocketAddress): Promise<void> {
    const key = `${client.host} ${client.port}`;
    let flow = this.#flows.get(key);
    if (flow === undefined) {
      const upstream = await this.#openUpstream(client);
      flow = this.#flows.get(key);
      if (flow === undefined) this.#flows.set(key, (flow = { upstream, client }));
      else upstream.close();
    }
    const through = flow;
    this.#pass("to-server", datagram, () => this.#send(through.upstream, datagram, this.#server));
  }

  #openUpstream(client: SocketAddress): Promise<DatagramCarrier> {
    return openUdp({ host: "127.0.0.1", port: 0 }, (datagram) => {
      this.#pass("to-client", datagram, () => this.#send(this.#carrier, datagram, client));
    });
  }

  #pass(direction: Direction, datagram: Uint8Array, send: () => void): void {
    const options = this.#options;
    options.onDatagram?.(direction, datagram);
    const tooBig = datagram.byteLength > (options.datagramBytesMax ?? Number.POSITIVE_INFINITY);
    if (tooBig || performance.now() < this.#darkUntilMs || this.#chance(options.loss)) {
      this.counts.dropped++;
      return;
    }
    if (this.#chance(options.corrupt)) {
      const at = Math.floor(this.#random() * datagram.byteLength);
      datagram[at] = (datagram[at] ?? 0) ^ (1 << Math.floor(this.#random() * 8));
    }
    let delayMs = options.delayMs ?? 0;
    if (this.#chance(options.reorder)) {
      this.counts.reordered++;
      delayMs += options.reorderMs ?? 5;
    }
    if (this.#chance(options.duplicate)) {
      this.counts.duplicated++;
      this.#after(delayMs, send);
    }
    this.#after(delayMs, send);
  }

  #after(delayMs: number, send: () => void): void {
    if (delayMs === 0) {
      send();
      return;
    }
    if (this.#held >= heldMax) {
      this.counts.dropped++;
      return;
    }
    this.#held++;
    const timer = setTimeout(() => {
      this.#held--;
      this.#timers.delete(timer);
      send();
    }, delayMs);
    this.#timers.add(timer);
  }

  #send(carrier: DatagramCarrier | undefined, datagram: Uint8Array, to: SocketAddress): void {
    this.counts.forwarded++;
    this.#batch.load(datagram, to.host, to.port);
    carrier?.send(this.#batch);
  }

  #chance(share: number | undefined): boolean {
    return share !== undefined && share > 0 && this.#random() < share;
  }
}

/** The link's memory; a full link drops. */
const heldMax = 20_000;
