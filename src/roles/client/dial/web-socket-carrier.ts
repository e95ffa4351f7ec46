import type { DatagramCarrier, DatagramReceiver, OpenCarrier } from "../../../quic/carrier.ts";
import type { SocketAddress } from "../../../quic/connection.ts";
import { quicLimits } from "../../../quic/limits.ts";
import type { SendBatch } from "../../../quic/send-batch.ts";
import { clientLimits } from "../limits.ts";

/** No WebSocket, or none any more. Its message is Bun's or the proxy's. */
export class WebSocketFailed extends Error {
  override readonly name = "WebSocketFailed";
}

export interface WebSocketCarrierOptions {
  /** `wss://HOST/v1/datagrams`; TLS is checked as for any web site, though nothing depends on it. */
  readonly url: string;
  /** Gives up what is being opened, the first time; later there is a time limit alone. */
  readonly signal?: AbortSignal;
  /** An open one ended although nobody here closed it. QUIC would only notice the silence. */
  readonly onCut: () => void;
}

/**
 * Datagrams over TLS over TCP, for networks that let no UDP out: each is one binary message. All seem
 * to come from `webPeer`. Opening it again, as `Endpoint.rebind` does, makes another WebSocket.
 */
export function webSocketCarrier(options: WebSocketCarrierOptions): OpenCarrier {
  let { signal } = options;
  return async (_bind, receive) => {
    const socket = new WebSocket(options.url, { perMessageDeflate: false });
    socket.binaryType = "arraybuffer";
    try {
      await opened(socket, signal);
    } catch (error) {
      socket.terminate();
      throw error;
    }
    signal = undefined;
    return new WebSocketCarrier(socket, receive, options.onCut);
  };
}

/** What QUIC takes for the addresses of the machine and of ourselves; of those kept for documents. */
export const webPeer: SocketAddress = { host: "192.0.2.2", port: 443 };
export const webBind: SocketAddress = { host: "192.0.2.1", port: 443 };

async function opened(socket: WebSocket, signal: AbortSignal | undefined): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const fail = (why: string): void => reject(new WebSocketFailed(why));
  const giveUp = (): void => fail("given up");
  const timer = setTimeout(() => fail("no answer"), clientLimits.webOpenMs);
  signal?.addEventListener("abort", giveUp);
  socket.addEventListener("open", () => resolve());
  socket.addEventListener("error", (event) => fail(reasonOf(event)));
  socket.addEventListener("close", ({ reason }) => fail(reason));
  if (signal?.aborted === true) giveUp();
  try {
    await promise;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", giveUp);
  }
}

/** Bun's own words, less the address that is told anyway. */
function reasonOf(event: Event): string {
  const message = "message" in event && typeof event.message === "string" ? event.message : "";
  return message.replace(/^WebSocket connection to '[^']*' failed: /, "");
}

class WebSocketCarrier implements DatagramCarrier {
  readonly address = webBind;
  readonly #socket: WebSocket;
  #isOver = false;

  constructor(socket: WebSocket, receive: DatagramReceiver, onCut: () => void) {
    this.#socket = socket;
    socket.addEventListener("message", ({ data }) => {
      // Bun takes messages of any size; no datagram is larger than this.
      if (this.#isOver || !(data instanceof ArrayBuffer)) return;
      if (data.byteLength > quicLimits.datagramBytesOptionMax) return;
      receive(new Uint8Array(data), webPeer.port, webPeer.host);
    });
    socket.addEventListener("close", () => {
      if (this.#isOver) return;
      this.#isOver = true;
      onCut();
    });
  }

  /** Without room when the network takes less than we have: what waits here would only grow old. */
  send(batch: SendBatch): boolean {
    if (this.#isOver) return true;
    if (this.#socket.bufferedAmount > clientLimits.webBufferedBytesMax) return false;
    for (let index = 0; index < batch.count; index++) this.#socket.send(batch.datagram(index));
    return true;
  }

  /** What was sent goes out, if that is soon. */
  close(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    const timer = setTimeout(() => this.#socket.terminate(), clientLimits.webCloseMs);
    this.#socket.addEventListener("close", () => clearTimeout(timer));
    this.#socket.close();
  }
}
