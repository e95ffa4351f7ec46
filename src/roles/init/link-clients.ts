import { closeCodes, type Connection } from "../../quic/connection.ts";
import type { Endpoint } from "../../quic/endpoint.ts";
import type { LinkStreams } from "./link-stream.ts";
import { acceptLogin } from "./login.ts";
import type { LoginGate } from "./login-gate.ts";

/**
 * Connections, from handshake to end. Only clients that proved themselves count towards `clientsMax`:
 * strangers have a limit of their own in the gate, and can keep no place here.
 */
export class LinkClients {
  readonly #gate: LoginGate | undefined;
  readonly #streams: LinkStreams;
  readonly #clientsMax: number;
  #clients = 0;

  /** Without a gate nobody is let in. */
  constructor(gate: LoginGate | undefined, streams: LinkStreams, clientsMax: number) {
    this.#gate = gate;
    this.#streams = streams;
    this.#clientsMax = clientsMax;
  }

  /** Until the endpoint is closed. */
  async acceptFrom(endpoint: Endpoint): Promise<void> {
    for (;;) {
      const connection = await endpoint.accept();
      if (connection === null) return;
      void this.#serve(connection);
    }
  }

  async #serve(connection: Connection): Promise<void> {
    if (this.#gate === undefined) {
      connection.close(closeCodes.loginFailed, "");
      return;
    }
    // Known before it has cost a call to Fly; asked again, because others may have come in meanwhile.
    if (this.#refusedAsFull(connection)) return;
    const login = await acceptLogin(connection, this.#gate);
    if (login === undefined || this.#refusedAsFull(connection)) return;
    this.#clients += 1;
    await this.#streams.serveAll(connection);
    this.#clients -= 1;
  }

  #refusedAsFull(connection: Connection): boolean {
    if (this.#clients < this.#clientsMax) return false;
    connection.close(closeCodes.busy, `retry-after-ms=${fullRetryMs}`);
    return true;
  }
}

/** A place becomes free when somebody leaves, and nobody knows when. */
const fullRetryMs = 3000;
