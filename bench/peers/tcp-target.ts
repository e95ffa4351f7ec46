import type { ByteStream } from "../../src/protocol/byte-stream.ts";
import { connectTcp, listenTcp } from "../../src/system/tcp-stream.ts";

/** A TCP service that a forward leads to. The first byte says which way: "u" is taken in and answered at its end, "d" is sent. */
export class TcpTarget implements Disposable {
  readonly #bytes: number;
  readonly #listener: ReturnType<typeof listenTcp>;

  /** So many bytes a connection. */
  constructor(bytes: number) {
    this.#bytes = bytes;
    this.#listener = listenTcp(
      { host: "127.0.0.1", port: 0 },
      { onConnection: (stream) => void this.#serve(stream).catch(() => undefined) },
    );
  }

  get port(): number {
    return this.#listener.port;
  }

  /** Megabytes a second of all connections together, through a port that leads here. */
  async rate(port: number, direction: "up" | "down", connections: number): Promise<number> {
    const startMs = performance.now();
    await Promise.all(Array.from({ length: connections }, async () => this.#move(port, direction)));
    return (this.#bytes * connections) / 1e3 / (performance.now() - startMs);
  }

  [Symbol.dispose](): void {
    this.#listener.close();
  }

  async #move(port: number, direction: "up" | "down"): Promise<void> {
    const stream = await connectTcp({ host: "127.0.0.1", port });
    await stream.write(new TextEncoder().encode(direction[0]));
    if (direction === "up") await this.#send(stream);
    await stream.end();
    let received = 0;
    for (let slice = await stream.read(); slice !== null; slice = await stream.read())
      received += slice.length;
    if (received < (direction === "up" ? 1 : this.#bytes))
      throw new Error(`${received} bytes came`);
  }

  async #serve(stream: ByteStream): Promise<void> {
    const first = await stream.read();
    if (first?.[0] === 100) {
      await this.#send(stream);
    } else {
      while ((await stream.read()) !== null);
      await stream.write(Uint8Array.of(1));
    }
    await stream.end();
  }

  async #send(stream: ByteStream): Promise<void> {
    for (let sent = 0; sent < this.#bytes; sent += block.length) await stream.write(block);
  }
}

/** Waits for a forward that was started to listen. */
export async function untilListening(port: number): Promise<void> {
  for (let look = 0; look < 200; look++) {
    try {
      (await connectTcp({ host: "127.0.0.1", port })).abort(0);
      return;
    } catch {
      await Bun.sleep(50);
    }
  }
  throw new Error(`Nothing listens on ${port}`);
}

const block = new Uint8Array(256 * 1024);
