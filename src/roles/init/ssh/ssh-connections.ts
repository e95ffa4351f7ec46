import { RemoteError } from "../../../protocol/errors.ts";
import type { FrameStream } from "../../../protocol/frame.ts";
import type { SshRequest } from "../../../protocol/ssh-message.ts";
import { sshLimits } from "./limits.ts";
import { SshConnection } from "./ssh-connection.ts";
import type { SshTransport } from "./ssh-transport.ts";

/** All SSH connections by the ids that their clients chose, those whose client is away included. */
export class SshConnections {
  readonly #hostKey: string;
  readonly #begin: (transport: SshTransport) => void;
  readonly #awayMs: number;
  readonly #byId = new Map<string, SshConnection>();

  constructor(
    hostKey: string,
    begin: (transport: SshTransport) => void,
    awayMs: number = sshLimits.awayMs,
  ) {
    this.#hostKey = hostKey;
    this.#awayMs = awayMs;
    this.#begin = begin;
  }

  get size(): number {
    return this.#byId.size;
  }

  /** Serves one stream of a client, from the reply to its end. Rejects with `RemoteError`. */
  async serve(frames: FrameStream, request: SshRequest): Promise<void> {
    for (const id of request.ended ?? []) this.#end(id);
    const known = this.#byId.get(request.id);
    const connection = known ?? this.#open(request);
    const reply = { host_key: this.#hostKey, created: known === undefined };
    const serving = connection.serve(frames, request, reply);
    if (known === undefined) this.#begin(connection.transport);
    try {
      await serving;
    } finally {
      if (connection.isOver) this.#byId.delete(request.id);
      else this.#forgetLater(request.id, connection);
    }
  }

  /** Its process was killed, says a later one of that computer. */
  #end(id: string): void {
    const connection = this.#byId.get(id);
    if (connection?.awaySinceMs === undefined) return;
    connection.close();
    this.#byId.delete(id);
  }

  #open(request: SshRequest): SshConnection {
    if (request.received > 0)
      throw new RemoteError("gone", "That SSH connection is gone: the machine was restarted");
    this.#makeRoom();
    const connection = new SshConnection();
    this.#byId.set(request.id, connection);
    return connection;
  }

  #makeRoom(): void {
    if (this.#byId.size < sshLimits.connectionsMax) return;
    const [longestAway] = [...this.#byId]
      .filter(([, connection]) => connection.awaySinceMs !== undefined)
      .toSorted(([, a], [, b]) => (a.awaySinceMs ?? 0) - (b.awaySinceMs ?? 0));
    if (longestAway === undefined)
      throw new RemoteError("limit", `${sshLimits.connectionsMax} SSH connections are open`);
    const [id, connection] = longestAway;
    connection.close();
    this.#byId.delete(id);
  }

  #forgetLater(id: string, connection: SshConnection): void {
    const leftMs = connection.awaySinceMs;
    if (leftMs === undefined) return;
    setTimeout(() => {
      if (connection.awaySinceMs !== leftMs || this.#byId.get(id) !== connection) return;
      connection.close();
      this.#byId.delete(id);
    }, this.#awayMs).unref();
  }
}
