import { SocketError } from "../../../system/tcp-stream.ts";
import { listenUdp, type UdpSocket } from "../../../system/udp-socket.ts";
import { DatagramPipe } from "../../../system/datagram-pipe.ts";
import type { ForwardDoor } from "./forward-door.ts";
import { countOf, endAt, type ForwardEnd, type ForwardSpec } from "./forward-spec.ts";
import { refusalLine } from "./forward-words.ts";
import { clientLimits } from "../limits.ts";
import { cannotListen } from "./listen-failure.ts";
import type { ForwardSurroundings, LiveForward } from "./live-forward.ts";
import { requestFor } from "./local-forward.ts";

/** `-L` of UDP: each address that sends something here is a peer, with a stream to the vault of its own. */
export class LocalUdpForward implements LiveForward {
  readonly spec: ForwardSpec;
  readonly state = "up";
  readonly #door: ForwardDoor;
  readonly #surroundings: ForwardSurroundings;
  readonly #sockets: UdpSocket[] = [];
  readonly #peers = new Map<string, Peer>();
  #listen: ForwardEnd;

  /** Rejects with `Failure` when a port is taken. */
  static async open(
    spec: ForwardSpec,
    door: ForwardDoor,
    surroundings: ForwardSurroundings,
  ): Promise<LocalUdpForward> {
    const forward = new LocalUdpForward(spec, door, surroundings);
    try {
      for (let index = 0; index < countOf(spec.listen); index += 1) await forward.#bind(index);
    } catch (error) {
      await forward.close();
      throw error;
    }
    return forward;
  }

  private constructor(spec: ForwardSpec, door: ForwardDoor, surroundings: ForwardSurroundings) {
    this.spec = spec;
    this.#listen = spec.listen;
    this.#door = door;
    this.#surroundings = surroundings;
  }

  get listen(): ForwardEnd {
    return this.#listen;
  }

  get connectionCount(): number {
    return this.#peers.size;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.close();
    for (const peer of this.#peers.values()) peer.close();
  }

  async #bind(index: number): Promise<void> {
    const end = endAt(this.spec.listen, index);
    const target = endAt(this.spec.target ?? this.spec.listen, index);
    if (end.kind === "unix") throw new RangeError("UDP has no paths");
    try {
      const socket = await listenUdp(end, (from, bytes, port, address) =>
        this.#receive(bytes, target, { socket: from, address, port }),
      );
      this.#sockets.push(socket);
      if (end.port === 0) this.#listen = { ...end, port: socket.port };
    } catch (error) {
      if (error instanceof SocketError) throw cannotListen(this.spec, end, error.code);
      throw error;
    }
  }

  #receive(bytes: Uint8Array, target: ForwardEnd, origin: Origin): void {
    const key = `${origin.socket.port} ${origin.address} ${origin.port}`;
    let peer = this.#peers.get(key);
    if (peer === undefined) {
      if (this.#peers.size >= clientLimits.udpPeersMax && !this.#makeRoom()) {
        this.#surroundings.note(
          `${this.spec.text}: ${clientLimits.udpPeersMax} peers are served, no more at once`,
        );
        return;
      }
      peer = new Peer();
      this.#peers.set(key, peer);
      const added = peer;
      void this.#serve(added, target, origin).finally(() => {
        if (this.#peers.get(key) === added) this.#peers.delete(key);
      });
    }
    peer.offer(bytes);
  }

  /** Who asks each question from a port of its own, as resolvers do, is not to wait for the last ones to be forgotten. */
  #makeRoom(): boolean {
    // One whose stream is still being opened holds its place: else there would be ever more of those.
    const served = [...this.#peers].filter(([, peer]) => peer.isServed);
    const [longest] = served.toSorted(([, a], [, b]) => a.heardMs - b.heardMs);
    if (longest === undefined) return false;
    const [key, peer] = longest;
    if (performance.now() - peer.heardMs < clientLimits.udpBusyMs) return false;
    this.#peers.delete(key);
    peer.close();
    return true;
  }

  async #serve(peer: Peer, target: ForwardEnd, origin: Origin): Promise<void> {
    try {
      const frames = await this.#door.open(requestFor(target));
      const pipe = new DatagramPipe(frames, clientLimits.udpIdleMs);
      peer.use(pipe);
      await pipe.run((bytes) => {
        peer.hear();
        if (!origin.socket.closed) origin.socket.send(bytes, origin.port, origin.address);
      });
    } catch (error) {
      const { vault } = this.#door;
      this.#surroundings.note(refusalLine(error, this, { vault, end: target }));
    }
  }
}

interface Origin {
  readonly socket: UdpSocket;
  readonly address: string;
  readonly port: number;
}

/** Its first datagrams wait for the stream. */
class Peer {
  readonly #early: Uint8Array[] = [];
  #pipe: DatagramPipe | undefined;
  #isClosed = false;
  #heardMs = performance.now();

  get isServed(): boolean {
    return this.#pipe !== undefined;
  }

  /** When the last datagram passed, either way. */
  get heardMs(): number {
    return this.#heardMs;
  }

  hear(): void {
    this.#heardMs = performance.now();
  }

  offer(bytes: Uint8Array): void {
    this.hear();
    if (this.#pipe !== undefined) this.#pipe.offer(bytes);
    else if (this.#early.length < clientLimits.udpEarlyMax) this.#early.push(bytes.slice());
  }

  use(pipe: DatagramPipe): void {
    this.#pipe = pipe;
    for (const bytes of this.#early.splice(0)) pipe.offer(bytes);
    if (this.#isClosed) pipe.close();
  }

  close(): void {
    this.#isClosed = true;
    this.#early.length = 0;
    this.#pipe?.close();
  }
}
