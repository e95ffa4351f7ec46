import { digests } from "../../fly/digests.ts";
import { MintError } from "../../fly/evidence.ts";
import type { ByteStream } from "../../protocol/byte-stream.ts";
import { StreamError } from "../../protocol/byte-stream.ts";
import { protocolVersion } from "../../protocol/limits.ts";
import { LoginServer } from "../../protocol/login-server.ts";
import type { Status } from "../../protocol/message.ts";
import type { Features } from "../../protocol/transcript.ts";
import { type Connection, closeCodes, ConnectionClosed } from "../../quic/connection.ts";
import { late, within } from "../../system/within.ts";
import { loginLimits } from "./login-limits.ts";
import type { LoginCause, LoginGate } from "./login-gate.ts";

export interface AcceptedLogin {
  readonly version: number;
  readonly features: Features;
}

/**
 * The machine's side of the login (docs/login.md) on a connection just established. Undefined when
 * the client was refused: the connection is closed then, the cause counted, and the client told no
 * more than one of four codes. Never rejects. Until it resolves nobody else may take streams.
 */
export async function acceptLogin(
  connection: Connection,
  gate: LoginGate,
): Promise<AcceptedLogin | undefined> {
  const source = `${connection.remoteAddress.host}:${connection.remoteAddress.port}`;
  const refuse = (refusal: Refusal): undefined => {
    gate.countRefused(refusal.code, refusal.message, source);
    connection.close(refusal.closeCode, refusal.closeReason);
  };
  if (!gate.enter()) return refuse(busy("crowded", 1000, "Too many logins at once"));
  try {
    const login = await new LoginAttempt(connection, gate).run();
    gate.countAccepted();
    return login;
  } catch (error) {
    return refuse(asRefusal(error));
  } finally {
    gate.leave();
  }
}

/** How a login ends that does not succeed: precise inside, four codes outside. */
class Refusal extends Error {
  override readonly name = "Refusal";
  readonly code: LoginCause;
  readonly closeCode: number;
  readonly closeReason: string;

  constructor(code: LoginCause, message: string, close: { code?: number; reason?: string } = {}) {
    super(message);
    this.code = code;
    this.closeCode = close.code ?? closeCodes.loginFailed;
    this.closeReason = close.reason ?? "";
  }
}

class LoginAttempt {
  readonly #connection: Connection;
  readonly #gate: LoginGate;
  readonly #machine: LoginServer;
  #readMs = 0;

  constructor(connection: Connection, gate: LoginGate) {
    const { options } = gate;
    this.#connection = connection;
    this.#gate = gate;
    this.#machine = new LoginServer({
      channel: {
        alpn: connection.alpn,
        certificate: connection.serverCertificate,
        binding: connection.channelBinding,
      },
      machine: options.machine,
      keys: options.keys,
      nonce: options.randomBytes(32),
      features: loginFeatures,
      versions: protocolVersion,
      digests,
      nowMs: options.monotonicMs(),
    });
  }

  async run(): Promise<AcceptedLogin> {
    const stream = await this.#firstStream();
    for (;;) {
      const output = this.#machine.poll();
      switch (output.kind) {
        case "transmit":
          await this.#transmit(stream, output.bytes);
          break;
        case "mint":
          await this.#mint(output.audience);
          break;
        case "wait":
          await this.#receive(stream, output.deadlineMs);
          break;
        case "proven":
          this.#machine.accept(await this.#status());
          break;
        case "accepted":
          await stream.end();
          return { version: output.version, features: output.features };
        case "failed":
          return this.#fail(output.cause, output.message);
      }
    }
  }

  /** The login's stream is the client's first; no other is looked at before ACCEPT. */
  async #firstStream(): Promise<ByteStream> {
    const output = this.#machine.poll();
    const deadlineMs = output.kind === "wait" ? output.deadlineMs : 0;
    const stream = await within(this.#connection.acceptStream(), this.#leftMs(deadlineMs));
    if (stream === late) throw new Refusal("hello-timeout", "No stream was opened");
    if (stream === null) throw new Refusal("connection-lost", "The client went away");
    return stream;
  }

  async #receive(stream: ByteStream, deadlineMs: number): Promise<void> {
    const bytes = await within(stream.read(), this.#leftMs(deadlineMs));
    this.#readMs = this.#gate.options.monotonicMs();
    if (bytes === late) this.#machine.receiveTime(Math.max(deadlineMs, this.#readMs));
    else if (bytes === null) this.#machine.receiveEnd();
    else this.#machine.receive(bytes);
  }

  async #transmit(stream: ByteStream, bytes: Uint8Array): Promise<void> {
    const sent = await within(stream.write(bytes), this.#leftMs(this.#machine.deadlineMs));
    if (sent === late) this.#machine.receiveTime(this.#machine.deadlineMs);
  }

  /** Fly counts calls by its own clock: one that our count allows may be too many there, and queues anew. */
  async #mint(audience: string): Promise<void> {
    const deadlineMs = this.#gate.options.monotonicMs() + loginLimits.mintWaitMs;
    for (let tries = 1; ; tries++) {
      const waitMs = this.#leftMs(deadlineMs);
      const turn = await this.#gate.budget.take(this.#connection.closed, waitMs);
      if (turn.kind === "busy") throw busy("busy", turn.retryAfterMs, "Too many wait for evidence");
      if (turn.kind === "gone") throw new Refusal("connection-lost", "The client went away");
      try {
        const jwt = await this.#gate.options.mint(audience);
        this.#machine.receiveEvidence(jwt, this.#gate.options.monotonicMs());
        return;
      } catch (error) {
        if (!(error instanceof MintError) || !error.throttled) throw error;
        if (tries === loginLimits.mintTriesMax)
          throw busy("busy", loginLimits.mintEveryMs, error.message);
        this.#gate.budget.exhaust();
      }
    }
  }

  /** A client with the right token must not be told that it is wrong because something else is. */
  async #status(): Promise<Status> {
    try {
      return await this.#gate.options.status();
    } catch (error) {
      throw busy("not-ready", 1000, messageOf(error));
    }
  }

  async #fail(cause: LoginCause, message: string): Promise<never> {
    if (cause === "version") {
      const { oldest, newest } = protocolVersion;
      const reason = `versions=${oldest}-${newest}`;
      throw new Refusal(cause, message, { code: closeCodes.version, reason });
    }
    if (cause === "wrong-proof") await this.#gate.padRefusal(this.#readMs);
    throw new Refusal(cause, message);
  }

  #leftMs(deadlineMs: number): number {
    return Math.max(0, deadlineMs - this.#gate.options.monotonicMs());
  }
}

function asRefusal(error: unknown): Refusal {
  if (error instanceof Refusal) return error;
  if (error instanceof MintError)
    return new Refusal("attestation-unavailable", error.message, {
      code: closeCodes.attestationUnavailable,
    });
  if (error instanceof StreamError || error instanceof ConnectionClosed)
    return new Refusal("connection-lost", error.message);
  return busy("internal", 1000, messageOf(error));
}

function busy(cause: LoginCause, retryAfterMs: number, message: string): Refusal {
  const reason = `retry-after-ms=${retryAfterMs}`;
  return new Refusal(cause, message, { code: closeCodes.busy, reason });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** None yet; a bit that is not known is ignored, and both sides' words are in the proofs. */
const loginFeatures = 0;
