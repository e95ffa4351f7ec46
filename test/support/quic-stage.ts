import { closeSync, openSync, readFileSync, unlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ByteStream, StreamError } from "../../src/protocol/byte-stream.ts";
import type { DatagramReceiver, OpenCarrier } from "../../src/quic/carrier.ts";
import { selfSignedCertificate } from "../../src/quic/certificate.ts";
import type { Connection, SocketAddress } from "../../src/quic/connection.ts";
import { localAddress } from "../../src/quic/connection-factory.ts";
import { Endpoint } from "../../src/quic/endpoint.ts";
import { quicLimits } from "../../src/quic/limits.ts";
import { clientConfig } from "../../src/quic/quiche-config.ts";
import { pathInfo, QuicheConnection } from "../../src/quic/quiche-connection.ts";
import { settings } from "../quic/settings.ts";
import { type PacketKeys, packetKeys, sealPacket } from "./packet-seal.ts";

/** Endpoints without sockets, and a peer that holds the keys of its connection and builds its packets by hand. */

const identity = selfSignedCertificate();
export const serverAddress: SocketAddress = { host: "127.0.0.1", port: 4433 };
const clientAddress: SocketAddress = { host: "127.0.0.1", port: 5000 };

/** An endpoint whose datagrams go to whoever listens, and come from whoever has some. */
export class StagedEndpoint {
  readonly endpoint: Endpoint;
  readonly deliver: DatagramReceiver;
  readonly #listeners: Map<number, (datagram: Uint8Array) => void>;

  private constructor(
    endpoint: Endpoint,
    deliver: DatagramReceiver,
    listeners: Map<number, (datagram: Uint8Array) => void>,
  ) {
    this.endpoint = endpoint;
    this.deliver = deliver;
    this.#listeners = listeners;
  }

  static async open(side: "server" | "client"): Promise<StagedEndpoint> {
    const listeners = new Map<number, (datagram: Uint8Array) => void>();
    const receivers: DatagramReceiver[] = [];
    const openCarrier: OpenCarrier = (bind, receive) => {
      receivers.push(receive);
      return Promise.resolve({
        address: bind,
        send: (batch) => {
          for (let index = 0; index < batch.count; index++)
            listeners.get(batch.port)?.(batch.datagram(index).slice());
          return true;
        },
        close: () => undefined,
      });
    };
    const bind = side === "server" ? serverAddress : clientAddress;
    const server = side === "server" ? { server: identity } : {};
    const endpoint = await Endpoint.open({ bind, openCarrier, ...server });
    const [deliver] = receivers;
    if (deliver === undefined) throw new Error("The endpoint opened no carrier");
    return new StagedEndpoint(endpoint, deliver, listeners);
  }

  /** What is sent to this port from now on. */
  listen(port: number, listener: (datagram: Uint8Array) => void): void {
    this.#listeners.set(port, listener);
  }

  /** One turn of the event loop, in which the endpoint answers. */
  static async turn(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Two endpoints that were connected, the datagrams they sent each other, and no line between them any more. */
export class StagedPair {
  /** Of both directions; the first byte is 0 for the server's and 1 for the client's. */
  readonly flights: Uint8Array[] = [];
  readonly #server: StagedEndpoint;
  readonly #client: StagedEndpoint;
  readonly #ends: Connection[] = [];

  private constructor(server: StagedEndpoint, client: StagedEndpoint) {
    this.#server = server;
    this.#client = client;
  }

  static async open(): Promise<StagedPair> {
    const pair = new StagedPair(
      await StagedEndpoint.open("server"),
      await StagedEndpoint.open("client"),
    );
    await pair.#converse();
    return pair;
  }

  deliver(to: "server" | "client", datagram: Uint8Array): void {
    if (to === "server") this.#server.deliver(datagram, clientAddress.port, clientAddress.host);
    else this.#client.deliver(datagram, serverAddress.port, serverAddress.host);
  }

  /** Packets that either end found authentic. */
  get heard(): number {
    return this.#ends.reduce((sum, end) => sum + end.stats().receivedPackets, 0);
  }

  async close(): Promise<void> {
    await this.#client.endpoint.close();
    await this.#server.endpoint.close();
  }

  async #converse(): Promise<void> {
    this.#client.listen(serverAddress.port, (datagram) => this.#carry("server", datagram));
    this.#server.listen(clientAddress.port, (datagram) => this.#carry("client", datagram));
    const accepted = this.#server.endpoint.accept();
    const near = await this.#client.endpoint.connect(serverAddress);
    const far = await accepted;
    if (far === null) throw new Error("No connection on the stage");
    this.#ends.push(near, far);
    void serveEchoes(far);
    const stream = await near.openStream();
    await stream.write(new Uint8Array(4000).fill(7));
    for (let read = 0; read < 4000;) read += (await stream.read())?.length ?? 4000;
    this.#client.listen(serverAddress.port, () => undefined);
    this.#server.listen(clientAddress.port, () => undefined);
  }

  #carry(to: "server" | "client", datagram: Uint8Array): void {
    this.flights.push(Buffer.concat([Uint8Array.of(to === "server" ? 0 : 1), datagram]));
    // As a socket would: not within the call that sends.
    setImmediate(() => this.deliver(to, datagram));
  }
}

/** A client past its handshake, whose next packets are made by `send`; what it opens is echoed. */
export class KeyHolder {
  readonly #server: StagedEndpoint;
  readonly #port: number;
  readonly #id: Uint8Array;
  readonly #keys: PacketKeys;
  readonly #far: Connection;
  /** Far above what the handshake used. */
  #number = 0x1000;
  #isOver = false;

  private constructor(server: StagedEndpoint, port: number, far: Connection, secrets: Secrets) {
    this.#server = server;
    this.#port = port;
    this.#far = far;
    this.#id = secrets.id;
    this.#keys = secrets.keys;
    void this.#watch();
  }

  static async connect(server: StagedEndpoint, port: number): Promise<KeyHolder> {
    const scid = crypto.getRandomValues(new Uint8Array(20));
    const local = localAddress(serverAddress);
    const client = QuicheConnection.connect(scid, local, serverAddress, clientConfig(settings));
    const log = new SecretLog();
    client.setKeylog(log.path);
    const path = pathInfo(serverAddress, local);
    server.listen(port, (datagram) => client.receive(datagram, path));
    const accepted = server.endpoint.accept();
    const slot = new Uint8Array(quicLimits.initialDatagramBytesMin);
    for (let turns = 0; turns < handshakeTurns; turns++) {
      for (let sent = client.send(slot); sent !== null; sent = client.send(slot))
        server.deliver(slot.slice(0, sent), port, "127.0.0.1");
      await StagedEndpoint.turn();
    }
    const keys = packetKeys(log.take("CLIENT_TRAFFIC_SECRET_0"));
    server.listen(port, () => undefined);
    const far = await accepted;
    if (far === null) throw new Error("No connection on the stage");
    void serveEchoes(far);
    return new KeyHolder(server, port, far, { id: client.destinationId(), keys });
  }

  async #watch(): Promise<void> {
    await this.#far.closed;
    this.#isOver = true;
  }

  /** The server has closed the connection, or was told to. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** Packets that the server found authentic. */
  get heard(): number {
    return this.#far.stats().receivedPackets;
  }

  /** Frames in a packet of their own. */
  send(payload: Uint8Array): void {
    this.#number += 1;
    const header = Buffer.alloc(1 + this.#id.length + 4);
    header[0] = 0x43;
    header.set(this.#id, 1);
    header.writeUInt32BE(this.#number, header.length - 4);
    this.#server.deliver(sealPacket(this.#keys, header, payload), this.#port, "127.0.0.1");
  }
}

/** Flights there and back, each in a turn of its own, and some to spare. */
const handshakeTurns = 8;

interface Secrets {
  readonly id: Uint8Array;
  readonly keys: PacketKeys;
}

async function serveEchoes(connection: Connection): Promise<void> {
  for (;;) {
    const stream = await connection.acceptStream();
    if (stream === null) return;
    void echo(stream);
  }
}

/** Whatever a peer does to a stream, its user sees data, an end or a `StreamError`. */
async function echo(stream: ByteStream): Promise<void> {
  try {
    for (let bytes = await stream.read(); bytes !== null; bytes = await stream.read())
      await stream.write(bytes);
    await stream.end();
  } catch (error) {
    if (!(error instanceof StreamError)) throw error;
  }
}

/** A file without a name that BoringSSL writes secrets into. */
class SecretLog {
  readonly path: string;
  readonly #fd: number;

  constructor() {
    const name = join(tmpdir(), `fv-keys-${crypto.randomUUID()}`);
    this.#fd = openSync(name, "w+", 0o600);
    unlinkSync(name);
    this.path = `/proc/self/fd/${this.#fd}`;
  }

  /** The secret under this label; the log is gone afterwards. */
  take(label: string): Uint8Array {
    const text = readFileSync(this.path, "latin1");
    closeSync(this.#fd);
    const hex = new RegExp(`^${label} \\S+ (\\S+)$`, "m").exec(text)?.[1] ?? "";
    // 32 bytes stand for AES-128-GCM, which is what machines with AES instructions choose.
    if (hex.length !== 64) throw new Error(`${label} of ${hex.length / 2} bytes`);
    return Uint8Array.from(Buffer.from(hex, "hex"));
  }
}
