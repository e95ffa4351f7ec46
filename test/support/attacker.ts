import type { ByteStream } from "../../src/protocol/byte-stream.ts";
import { StreamError } from "../../src/protocol/byte-stream.ts";
import { encodeLoginMessage, LoginMessageDecoder } from "../../src/protocol/login-message.ts";
import type { LoginMessage } from "../../src/protocol/login-message.ts";
import type { Connection } from "../../src/quic/connection.ts";
import type { Endpoint } from "../../src/quic/endpoint.ts";

/** Somebody who answers in a machine's place, and keeps all that is said to them. */
export class Attacker {
  readonly endpoint: Endpoint;
  readonly #chunks: Uint8Array[] = [];
  readonly messages: LoginMessage[] = [];
  streams = 0;
  readonly #decoder = new LoginMessageDecoder(["hello", "proof"]);

  constructor(endpoint: Endpoint) {
    this.endpoint = endpoint;
  }

  get address(): { host: string; port: number } {
    return this.endpoint.address;
  }

  /** All plaintext that reached the attacker, on whatever stream. */
  received(): Uint8Array {
    return new Uint8Array(Buffer.concat(this.#chunks));
  }

  /** Serves each victim with `answer`, which sees every message as it comes. */
  async serve(
    answer: (message: LoginMessage, stream: ByteStream, victim: Connection) => Promise<void>,
  ): Promise<void> {
    for (;;) {
      const victim = await this.endpoint.accept();
      if (victim === null) return;
      void this.#serveStreams(victim, (message, stream) => answer(message, stream, victim));
    }
  }

  async #serveStreams(
    victim: Connection,
    answer: (message: LoginMessage, stream: ByteStream) => Promise<void>,
  ): Promise<void> {
    for (;;) {
      const stream = await victim.acceptStream();
      if (stream === null) return;
      this.streams += 1;
      void this.#serveStream(stream, answer);
    }
  }

  async #serveStream(
    stream: ByteStream,
    answer: (message: LoginMessage, stream: ByteStream) => Promise<void>,
  ): Promise<void> {
    try {
      for (;;) {
        const bytes = await stream.read();
        if (bytes === null) return;
        this.#chunks.push(bytes);
        for (const message of this.#decoder.push(bytes)) {
          this.messages.push(message);
          await answer(message, stream);
        }
      }
    } catch (error) {
      if (!(error instanceof StreamError)) throw error;
    }
  }
}

/** Asks the real machine in the victim's name and hands back the evidence it sends. */
export async function fetchEvidence(
  client: Endpoint,
  machine: { host: string; port: number },
  hello: LoginMessage,
): Promise<LoginMessage> {
  const connection = await client.connect(machine, { timeoutMs: 20_000 });
  const stream = await connection.openStream();
  await stream.write(encodeLoginMessage(hello));
  const decoder = new LoginMessageDecoder(["evidence"]);
  for (;;) {
    const bytes = await stream.read();
    if (bytes === null) throw new Error("The machine gave no evidence");
    const [evidence] = decoder.push(bytes);
    if (evidence !== undefined) return evidence;
  }
}

/** EVIDENCE with this JWT, as an attacker would word it. */
export async function sendEvidence(
  stream: ByteStream,
  jwt: string | Uint8Array,
  nonce = new Uint8Array(32).fill(5),
): Promise<void> {
  const bytes = typeof jwt === "string" ? new TextEncoder().encode(jwt) : jwt;
  await stream.write(encodeLoginMessage({ kind: "evidence", nonce, features: 0, jwt: bytes }));
}
