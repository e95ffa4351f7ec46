import { lstatSync, unlinkSync } from "node:fs";
import type { ByteStream } from "../../../protocol/byte-stream.ts";
import type { Request } from "../../../protocol/message.ts";
import { listenPrivateUnix } from "../../../system/private-socket.ts";
import { splice } from "../../../system/splice.ts";
import {
  connectUnix,
  type Listening,
  type ListenOptions,
  listenTcp,
  SocketError,
} from "../../../system/tcp-stream.ts";
import type { ForwardDoor } from "./forward-door.ts";
import { countOf, endAt, type ForwardEnd, type ForwardSpec, showPorts } from "./forward-spec.ts";
import { refusalLine } from "./forward-words.ts";
import { clientLimits } from "../limits.ts";
import { cannotListen } from "./listen-failure.ts";
import type { ForwardSurroundings, LiveForward } from "./live-forward.ts";
import type { SocksTarget } from "./socks.ts";
import { serveSocks } from "./socks-server.ts";

/**
 * Listeners here, each connection a stream to the vault: `-L` of TCP and Unix sockets, and `-D`. They
 * outlive the link: new connections wait for it.
 */
export class LocalForward implements LiveForward {
  readonly spec: ForwardSpec;
  readonly listen: ForwardEnd;
  readonly state = "up";
  readonly #door: ForwardDoor;
  readonly #surroundings: ForwardSurroundings;
  readonly #listeners: Listening[] = [];
  #connections = 0;
  #isClosed = false;

  /** Binds every port. Rejects with `Failure` when one is taken; then none is bound. */
  static async open(
    spec: ForwardSpec,
    door: ForwardDoor,
    surroundings: ForwardSurroundings,
  ): Promise<LocalForward> {
    if (spec.listen.kind === "unix") await removeStale(spec.listen.path);
    return new LocalForward(spec, door, surroundings);
  }

  private constructor(spec: ForwardSpec, door: ForwardDoor, surroundings: ForwardSurroundings) {
    this.spec = spec;
    this.#door = door;
    this.#surroundings = surroundings;
    try {
      for (let index = 0; index < countOf(spec.listen); index += 1) this.#bind(index);
    } catch (error) {
      this.#stopListening();
      throw error;
    }
    const [first] = this.#listeners;
    this.listen =
      spec.listen.kind !== "unix" && spec.listen.port === 0
        ? { ...spec.listen, port: first?.port ?? 0 }
        : spec.listen;
  }

  get connectionCount(): number {
    return this.#connections;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#stopListening();
  }

  #stopListening(): void {
    for (const listening of this.#listeners.splice(0)) listening.close();
  }

  #bind(index: number): void {
    const here = endAt(this.spec.listen, index);
    const target = this.spec.target === undefined ? undefined : endAt(this.spec.target, index);
    const options = {
      connectionsMax: clientLimits.forwardConnectionsMax,
      onOneTooMany: () =>
        this.#surroundings.note(
          `${this.spec.text}: ${clientLimits.forwardConnectionsMax} connections are open, no more at once`,
        ),
      onConnection: (stream: ByteStream) => void this.#serve(stream, target),
    };
    try {
      this.#listeners.push(listenAt(here, options));
    } catch (error) {
      if (error instanceof SocketError) throw cannotListen(this.spec, here, error.code);
      throw error;
    }
  }

  async #serve(local: ByteStream, target: ForwardEnd | undefined): Promise<void> {
    this.#connections += 1;
    try {
      await (target === undefined ? this.#serveSocks(local) : this.#join(local, target));
    } catch {
      // Of its own the local connection is no more to be told than that it is over.
      local.abort(0);
    } finally {
      this.#connections -= 1;
    }
  }

  async #join(local: ByteStream, target: ForwardEnd): Promise<void> {
    let remote: ByteStream;
    try {
      remote = (await this.#door.open(requestFor(target))).release();
    } catch (error) {
      this.#noteRefusal(error, target);
      throw error;
    }
    const { error } = await splice(local, remote);
    // At our own end everything ends.
    if (error?.kind === "connection-lost" && !this.#isClosed) this.#noteRefusal(error, target);
  }

  async #serveSocks(local: ByteStream): Promise<void> {
    const open = async ({ host, port }: SocksTarget): Promise<ByteStream> => {
      const target: ForwardEnd = { kind: "tcp", host, port, count: 1 };
      try {
        return (await this.#door.open(requestFor(target))).release();
      } catch (error) {
        this.#noteRefusal(error, target);
        throw error;
      }
    };
    const refused = (because: string): void =>
      this.#surroundings.note(`${showPorts(this.listen)}: a connection is not served: ${because}`);
    await serveSocks(local, { open, refused });
  }

  #noteRefusal(error: unknown, end: ForwardEnd): void {
    const { vault } = this.#door;
    this.#surroundings.note(refusalLine(error, this, { vault, end }));
  }
}

/** What asks the vault for a connection to that end. */
export function requestFor(target: ForwardEnd): Request {
  if (target.kind === "unix") return { type: "forward-unix", path: target.path };
  const { host, port } = target;
  return { type: target.kind === "udp" ? "forward-udp" : "forward", host, port };
}

function listenAt(end: ForwardEnd, options: ListenOptions): Listening {
  return end.kind === "unix"
    ? listenPrivateUnix(end.path, options)
    : listenTcp({ host: end.host, port: end.port }, options);
}

/** A socket that its program left behind, where it is ours. */
async function removeStale(path: string): Promise<void> {
  if (!isOurSocket(path)) return;
  try {
    const stream = await connectUnix(path);
    stream.abort(0);
  } catch (error) {
    if (error instanceof SocketError && error.code === "ECONNREFUSED") unlinkSync(path);
  }
}

function isOurSocket(path: string): boolean {
  try {
    const found = lstatSync(path, { throwIfNoEntry: false });
    return found?.isSocket() === true && found.uid === process.getuid?.();
  } catch {
    // Whoever may not look there may not listen there: that is what will be told.
    return false;
  }
}
