import { type ByteStream, StreamError } from "./byte-stream.ts";
import { ProtocolError, WireError } from "./errors.ts";
import { type Frame, type FrameStream, type FrameType, frameTypes } from "./frame.ts";
import { limits } from "./limits.ts";
import { Reader, Writer } from "./wire.ts";

/**
 * Connections to an agent over one stream, after its reply: the machine opens them, each with the
 * first bytes that bear its number, and either end closes one. Both ends speak this.
 */
export class AgentMux {
  readonly #frames: FrameStream;
  readonly #onOpened: ((connection: ByteStream) => void) | undefined;
  readonly #connections = new Map<number, AgentConnection>();
  #next = 0;
  #writes: Promise<void> = Promise.resolve();

  /** `onOpened` takes the connections of the other end; without it a new number is against the protocol. */
  constructor(frames: FrameStream, onOpened?: (connection: ByteStream) => void) {
    this.#frames = frames;
    this.#onOpened = onOpened;
  }

  /** Undefined when too many are open. */
  open(): ByteStream | undefined {
    if (this.#connections.size >= limits.agentConnectionsMax) return undefined;
    const number = this.#next;
    this.#next += 1;
    return this.#add(number);
  }

  /** Until the other end has ended the stream; all connections are closed then. Rejects as the stream does. */
  async run(): Promise<void> {
    try {
      for (;;) {
        const frame = await this.#frames.read();
        if (frame === null) return;
        this.#receive(frame);
      }
    } finally {
      for (const connection of this.#connections.values()) connection.lose();
      this.#connections.clear();
    }
  }

  #receive(frame: Frame): void {
    const reader = new Reader(frame.payload, "Agent frame");
    const number = reader.u32();
    const known = this.#connections.get(number);
    switch (frame.type) {
      case frameTypes.agentData:
        // What was on the way when we closed it is for nobody.
        (known ?? this.#accept(number))?.receive(reader.rest().slice());
        return;
      case frameTypes.agentEnd:
        reader.finish();
        known?.receiveEnd();
        this.#connections.delete(number);
        return;
      default:
        throw new WireError(`Frame 0x${frame.type.toString(16)} between agent and machine`);
    }
  }

  #accept(number: number): AgentConnection | undefined {
    if (number < this.#next) return undefined;
    if (this.#onOpened === undefined || this.#connections.size >= limits.agentConnectionsMax)
      throw new ProtocolError("A connection that was not asked for");
    this.#next = number + 1;
    const connection = this.#add(number);
    this.#onOpened(connection);
    return connection;
  }

  /** One after the other: no frame may begin within another. */
  async #write(type: FrameType, payload: Uint8Array): Promise<void> {
    const turn = this.#writes.then(() => this.#frames.write(type, payload));
    this.#writes = turn.catch(() => undefined);
    await turn;
  }

  #add(number: number): AgentConnection {
    const connection = new AgentConnection(async (bytes) => {
      if (bytes === null) this.#connections.delete(number);
      const type = bytes === null ? frameTypes.agentEnd : frameTypes.agentData;
      const body = new Writer(4 + (bytes?.length ?? 0)).u32(number);
      await this.#write(type, (bytes === null ? body : body.bytes(bytes)).finish());
    });
    this.#connections.set(number, connection);
    return connection;
  }
}

/** Its halves do not close apart: agents answer what they are asked, and then nobody is left to ask. */
class AgentConnection implements ByteStream {
  readonly #send: (bytes: Uint8Array | null) => Promise<void>;
  readonly #queue: Uint8Array[] = [];
  #queuedBytes = 0;
  #ended = false;
  #saidEnd = false;
  #failure: StreamError | undefined;
  #wake: (() => void) | undefined;

  constructor(send: (bytes: Uint8Array | null) => Promise<void>) {
    this.#send = send;
  }

  receive(bytes: Uint8Array): void {
    if (bytes.length === 0 || this.#failure !== undefined) return;
    this.#queue.push(bytes);
    this.#queuedBytes += bytes.length;
    // Nobody reads it: the others on this stream must not wait for that.
    if (this.#queuedBytes > limits.agentQueueBytesMax) this.abort(0);
    this.#wake?.();
  }

  receiveEnd(): void {
    this.#ended = true;
    this.#saidEnd = true;
    this.#wake?.();
  }

  lose(): void {
    this.#failure ??= new StreamError("connection-lost", "The agent's client is gone");
    this.#wake?.();
  }

  async read(): Promise<Uint8Array | null> {
    for (;;) {
      if (this.#failure !== undefined) throw this.#failure;
      const bytes = this.#queue.shift();
      if (bytes !== undefined) {
        this.#queuedBytes -= bytes.length;
        return bytes;
      }
      if (this.#ended) return null;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  async write(bytes: Uint8Array): Promise<void> {
    for (let from = 0; from < bytes.length; from += limits.dataBytesMax) {
      if (this.#failure !== undefined) throw this.#failure;
      if (this.#saidEnd) throw new StreamError("stopped", "That connection to the agent is closed");
      await this.#send(bytes.subarray(from, from + limits.dataBytesMax));
    }
  }

  async end(): Promise<void> {
    if (this.#saidEnd || this.#failure !== undefined) return;
    this.#saidEnd = true;
    this.#ended = true;
    this.#wake?.();
    await this.#send(null);
  }

  abort(_code: number): void {
    if (this.#failure !== undefined) return;
    this.end().catch(() => undefined);
    this.#failure = new StreamError("aborted", "The connection was given up here");
    this.#queue.length = 0;
    this.#queuedBytes = 0;
    this.#wake?.();
  }
}
