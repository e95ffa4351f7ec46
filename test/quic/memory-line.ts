import type { OpenCarrier } from "../../src/quic/carrier.ts";
import type { Connection, SocketAddress } from "../../src/quic/connection.ts";
import type { EndpointOptions } from "../../src/quic/endpoint.ts";
import { openPair, type Pair } from "./pair.ts";

export type Side = "client" | "server";

export interface SentDatagram {
  readonly from: Side;
  /** The sender's; a client that took a new socket has another one. */
  readonly port: number;
  readonly bytes: Uint8Array;
}

/** A line in memory that notes what each side sends, and can be dark: then only what is handed over arrives. */
export class MemoryLine {
  readonly sent: SentDatagram[] = [];
  isDark = false;
  /** One way. */
  delayMs = 0;
  readonly #receivers = new Map<number, (datagram: Uint8Array, from: SocketAddress) => void>();
  #nextPort = 5000;

  open(side: Side): OpenCarrier {
    return (_, receive) => {
      const port = side === "server" ? serverPort : this.#nextPort++;
      const address = { host, port };
      this.#receivers.set(port, (bytes, from) => receive(bytes, from.port, from.host));
      return Promise.resolve({
        address,
        mayLinger: true,
        send: (batch) => {
          for (let index = 0; index < batch.count; index++)
            this.#carry({ from: side, port, bytes: batch.datagram(index).slice() }, batch.port);
          return true;
        },
        close: () => void this.#receivers.delete(port),
      });
    };
  }

  /** What this side has sent since the mark. */
  sentBy(side: Side, since = 0): SentDatagram[] {
    return this.sent.slice(since).filter(({ from }) => from === side);
  }

  /** Hands one datagram over, as if the line let it through, and lets the receiver answer. */
  async deliver({ port, bytes }: SentDatagram, toPort: number): Promise<void> {
    // What is received is decrypted in place.
    this.#receivers.get(toPort)?.(bytes.slice(), { host, port });
    for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve));
  }

  #carry(datagram: SentDatagram, toPort: number): void {
    this.sent.push(datagram);
    if (this.isDark) return;
    const deliver = (): void => void this.deliver(datagram, toPort);
    // As a socket would: not within the call that sends.
    if (this.delayMs === 0) setImmediate(deliver);
    else setTimeout(deliver, this.delayMs);
  }
}

export interface LineStage extends AsyncDisposable {
  readonly line: MemoryLine;
  readonly pair: Pair;
  readonly ends: Readonly<Record<Side, Connection>>;
}

export async function openLine(
  options: Partial<EndpointOptions> = {},
  delayMs = 0,
): Promise<LineStage> {
  const line = new MemoryLine();
  line.delayMs = delayMs;
  const bind = { host, port: serverPort };
  const pair = await openPair({
    server: { ...options, bind, openCarrier: line.open("server") },
    client: { ...options, openCarrier: line.open("client") },
  });
  return {
    line,
    pair,
    ends: { client: pair.near, server: pair.far },
    [Symbol.asyncDispose]: () => pair[Symbol.asyncDispose](),
  };
}

const host = "127.0.0.1";
export const serverPort = 4433;
