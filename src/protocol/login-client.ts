import { WireError } from "./errors.ts";
import { limits } from "./limits.ts";
import { encodeLoginMessage, type Evidence, LoginMessageDecoder } from "./login-message.ts";
import type { LoginMessage } from "./login-message.ts";
import { decodeJson, type Status, statusSchema } from "./message.ts";
import * as transcript from "./transcript.ts";
import type { Channel, Digests, Features, MachineName, ProofKeys } from "./transcript.ts";

export type LoginClientCause =
  "evidence-timeout" | "accept-timeout" | "malformed" | "wrong-order" | "server-proof" | "version";

export type LoginClientOutput =
  /** Send these bytes. */
  | { readonly kind: "transmit"; readonly bytes: Uint8Array }
  /** Check this against `audience`, then call `prove`, or give up. Nothing of the token was used so far. */
  | { readonly kind: "verify"; readonly jwt: Uint8Array }
  /** Nothing to do until bytes arrive or this moment passes. */
  | { readonly kind: "wait"; readonly deadlineMs: number }
  | { readonly kind: "accepted"; readonly login: LoginAccepted }
  | { readonly kind: "failed"; readonly cause: LoginClientCause; readonly message: string };

export interface LoginAccepted {
  /** The version both ends speak from here on. */
  readonly version: number;
  readonly features: Features;
  readonly status: Status;
}

export interface LoginClientOptions {
  readonly channel: Channel;
  readonly nonce: Uint8Array;
  readonly features: number;
  readonly versions: { readonly oldest: number; readonly newest: number };
  readonly digests: Digests;
  readonly nowMs: number;
}

type State =
  | { readonly kind: "await-evidence"; readonly deadlineMs: number }
  | { readonly kind: "verify"; readonly evidence: Evidence }
  | { readonly kind: "await-accept"; readonly deadlineMs: number; readonly sent: Sent }
  | { readonly kind: "over"; readonly output: LoginClientOutput };

interface Sent {
  readonly keys: ProofKeys;
  readonly hash: Uint8Array;
  readonly proof: Uint8Array;
  readonly features: Features;
}

/**
 * The client's half of the login, without sockets, clock or keys: the proof keys are handed over in
 * `prove`, that is after the evidence was verified, so no earlier step could use them by mistake.
 */
export class LoginClient {
  readonly #options: LoginClientOptions;
  readonly #decoder = new LoginMessageDecoder(["evidence", "accept"]);
  readonly #transmits: Uint8Array[] = [];
  #state: State;

  constructor(options: LoginClientOptions) {
    this.#options = options;
    this.#state = { kind: "await-evidence", deadlineMs: options.nowMs + limits.evidenceWaitMs };
    const { nonce, features, versions } = options;
    this.#transmits.push(
      encodeLoginMessage({ kind: "hello", version: versions.newest, nonce, features }),
    );
  }

  poll(): LoginClientOutput {
    const bytes = this.#transmits.shift();
    if (bytes !== undefined) return { kind: "transmit", bytes };
    const state = this.#state;
    switch (state.kind) {
      case "await-evidence":
      case "await-accept":
        return { kind: "wait", deadlineMs: state.deadlineMs };
      case "verify":
        return { kind: "verify", jwt: state.evidence.jwt };
      case "over":
        return state.output;
    }
  }

  receive(bytes: Uint8Array): void {
    if (this.#state.kind === "over") return;
    try {
      for (const message of this.#decoder.push(bytes)) this.#receiveMessage(message);
      if (this.#isAccepted() && !this.#decoder.idle)
        this.#fail("malformed", "Bytes after the last message");
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      this.#fail("malformed", error.message);
    }
  }

  receiveEnd(): void {
    this.#fail("malformed", "The machine ended the login stream early");
  }

  receiveTime(nowMs: number): void {
    const state = this.#state;
    if (state.kind === "await-evidence" && nowMs >= state.deadlineMs)
      this.#fail("evidence-timeout", `No evidence within ${limits.evidenceWaitMs} ms`);
    if (state.kind === "await-accept" && nowMs >= state.deadlineMs)
      this.#fail("accept-timeout", `No answer to the proof within ${limits.acceptWaitMs} ms`);
  }

  /** The audience that evidence of `machine` must bear to be about this very connection. */
  audience(machine: MachineName): string {
    return transcript.attestationAudience(
      this.#transcript(machine, this.#evidence()),
      this.#options.digests,
    );
  }

  /** Only after the evidence was verified, for the machine it names: makes PROOF. */
  prove(machine: MachineName, keys: ProofKeys, nowMs: number): void {
    const evidence = this.#evidence();
    const { digests, versions, features: client } = this.#options;
    const features = { version: versions.newest, client, server: evidence.features };
    const bytes = this.#transcript(machine, evidence);
    const hash = transcript.transcriptHash(bytes, evidence.jwt, features, digests);
    const proof = transcript.clientProof(keys, hash, digests);
    this.#transmits.push(encodeLoginMessage({ kind: "proof", proof }));
    this.#state = {
      kind: "await-accept",
      deadlineMs: nowMs + limits.acceptWaitMs,
      sent: { keys, hash, proof, features },
    };
  }

  #receiveMessage(message: LoginMessage): void {
    const state = this.#state;
    if (state.kind === "await-evidence" && message.kind === "evidence") {
      this.#state = { kind: "verify", evidence: message };
      return;
    }
    if (state.kind === "await-accept" && message.kind === "accept") {
      this.#receiveAccept(state.sent, message.proof, message.parameters);
      return;
    }
    this.#fail("wrong-order", `${message.kind} is not allowed in state ${state.kind}`);
  }

  #receiveAccept(sent: Sent, proof: Uint8Array, parameters: Uint8Array): void {
    const { digests, versions } = this.#options;
    const expected = transcript.serverProof(sent.keys, sent.hash, sent.proof, digests);
    if (!digests.equal(proof, expected)) {
      this.#fail("server-proof", "The machine's proof does not fit the token");
      return;
    }
    const status = decodeJson(statusSchema, parameters, "Session parameters");
    const version = Math.min(versions.newest, status.protocol_newest);
    if (version < Math.max(versions.oldest, status.protocol_oldest)) {
      this.#fail(
        "version",
        `The machine speaks versions ${status.protocol_oldest} to ${status.protocol_newest}`,
      );
      return;
    }
    const login = { version, features: sent.features, status };
    this.#state = { kind: "over", output: { kind: "accepted", login } };
  }

  #fail(cause: LoginClientCause, message: string): void {
    // What is known to be bad stays bad: bytes after a failure cannot turn it into a success.
    if (this.#state.kind === "over" && this.#state.output.kind === "failed") return;
    this.#transmits.length = 0;
    this.#state = { kind: "over", output: { kind: "failed", cause, message } };
  }

  #isAccepted(): boolean {
    return this.#state.kind === "over" && this.#state.output.kind === "accepted";
  }

  #evidence(): Evidence {
    if (this.#state.kind !== "verify") throw new TypeError("There is no evidence to speak of yet");
    return this.#state.evidence;
  }

  #transcript(machine: MachineName, evidence: Evidence): Uint8Array {
    const { channel, nonce, digests } = this.#options;
    const nonces = { client: nonce, server: evidence.nonce };
    return transcript.attestationTranscript(channel, machine, nonces, digests);
  }
}
