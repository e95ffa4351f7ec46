import { WireError } from "./errors.ts";
import { limits } from "./limits.ts";
import { encodeLoginMessage, type Hello, LoginMessageDecoder } from "./login-message.ts";
import type { LoginMessage } from "./login-message.ts";
import { encodeJson, type Status } from "./message.ts";
import * as transcript from "./transcript.ts";
import type { Channel, Digests, Features, MachineName, ProofKeys } from "./transcript.ts";

export type LoginServerCause =
  | "hello-timeout"
  | "proof-timeout"
  | "login-timeout"
  | "malformed"
  | "wrong-order"
  | "wrong-proof"
  | "version";

export type LoginServerOutput =
  | { readonly kind: "transmit"; readonly bytes: Uint8Array }
  /** Ask Fly for evidence under this audience, then call `receiveEvidence`, or give up. */
  | { readonly kind: "mint"; readonly audience: string }
  /** Nothing to do until bytes arrive or this moment passes. */
  | { readonly kind: "wait"; readonly deadlineMs: number }
  /** The client knows the token: call `accept`. */
  | { readonly kind: "proven" }
  /** ACCEPT is out. */
  | { readonly kind: "accepted"; readonly version: number; readonly features: Features }
  | { readonly kind: "failed"; readonly cause: LoginServerCause; readonly message: string };

export interface LoginServerOptions {
  readonly channel: Channel;
  readonly machine: MachineName;
  readonly keys: ProofKeys;
  readonly nonce: Uint8Array;
  readonly features: number;
  readonly versions: { readonly oldest: number; readonly newest: number };
  readonly digests: Digests;
  readonly nowMs: number;
}

type State =
  | { readonly kind: "await-hello"; readonly deadlineMs: number }
  | { readonly kind: "mint"; readonly hello: Hello; readonly transcript: Uint8Array }
  | ({ readonly kind: "await-proof"; readonly deadlineMs: number } & Expected)
  | ({ readonly kind: "proven"; readonly proof: Uint8Array } & Expected)
  | { readonly kind: "over"; readonly output: LoginServerOutput };

interface Expected {
  readonly hash: Uint8Array;
  readonly features: Features;
}

/** The machine's half of the login, without sockets, clock or random. One try, then it is over. */
export class LoginServer {
  readonly #options: LoginServerOptions;
  readonly #decoder = new LoginMessageDecoder(["hello", "proof"]);
  readonly #transmits: Uint8Array[] = [];
  readonly #loginDeadlineMs: number;
  #state: State;

  constructor(options: LoginServerOptions) {
    this.#options = options;
    this.#loginDeadlineMs = options.nowMs + limits.loginMs;
    this.#state = { kind: "await-hello", deadlineMs: options.nowMs + limits.helloWaitMs };
  }

  poll(): LoginServerOutput {
    const bytes = this.#transmits.shift();
    if (bytes !== undefined) return { kind: "transmit", bytes };
    const state = this.#state;
    switch (state.kind) {
      case "await-hello":
      case "await-proof":
        return { kind: "wait", deadlineMs: Math.min(state.deadlineMs, this.#loginDeadlineMs) };
      case "mint": {
        const audience = transcript.attestationAudience(state.transcript, this.#options.digests);
        return { kind: "mint", audience };
      }
      case "proven":
        return { kind: "proven" };
      case "over":
        return state.output;
    }
  }

  /** The moment at which the login is over however far it came. */
  get deadlineMs(): number {
    return this.#loginDeadlineMs;
  }

  receive(bytes: Uint8Array): void {
    if (this.#state.kind === "over") return;
    try {
      for (const message of this.#decoder.push(bytes)) this.#receiveMessage(message);
      // After PROOF the client has nothing more to say here: not even the beginning of something.
      if (this.#state.kind === "proven" && !this.#decoder.idle)
        this.#fail("malformed", "Bytes after the proof");
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      this.#fail("malformed", error.message);
    }
  }

  receiveEnd(): void {
    this.#fail("malformed", "The client ended the login stream early");
  }

  receiveTime(nowMs: number): void {
    const state = this.#state;
    if (state.kind === "over") return;
    if (nowMs >= this.#loginDeadlineMs)
      this.#fail("login-timeout", `Not logged in within ${limits.loginMs} ms`);
    else if (state.kind === "await-hello" && nowMs >= state.deadlineMs)
      this.#fail("hello-timeout", `No HELLO within ${limits.helloWaitMs} ms`);
    else if (state.kind === "await-proof" && nowMs >= state.deadlineMs)
      this.#fail("proof-timeout", `No PROOF within ${limits.proofWaitMs} ms`);
  }

  /** Evidence that Fly issued for the audience of `mint`. */
  receiveEvidence(jwt: Uint8Array, nowMs: number): void {
    const state = this.#state;
    if (state.kind === "over") return;
    if (state.kind !== "mint") throw new TypeError("No evidence was asked for");
    const { nonce, features: server, digests } = this.#options;
    const features = { version: state.hello.version, client: state.hello.features, server };
    const hash = transcript.transcriptHash(state.transcript, jwt, features, digests);
    this.#transmits.push(encodeLoginMessage({ kind: "evidence", nonce, features: server, jwt }));
    const deadlineMs = nowMs + limits.proofWaitMs;
    this.#state = { kind: "await-proof", deadlineMs, hash, features };
  }

  /** After `proven`: tells the client what it may expect of this machine. */
  accept(status: Status): void {
    const state = this.#state;
    if (state.kind !== "proven") throw new TypeError("The client has not proved anything");
    const { keys, digests, versions } = this.#options;
    const proof = transcript.serverProof(keys, state.hash, state.proof, digests);
    const parameters = encodeJson({
      ...status,
      protocol_oldest: versions.oldest,
      protocol_newest: versions.newest,
    });
    this.#transmits.push(encodeLoginMessage({ kind: "accept", proof, parameters }));
    const version = Math.min(state.features.version, versions.newest);
    const output = { kind: "accepted", version, features: state.features } as const;
    this.#state = { kind: "over", output };
  }

  #receiveMessage(message: LoginMessage): void {
    const state = this.#state;
    if (state.kind === "await-hello" && message.kind === "hello") this.#receiveHello(message);
    else if (state.kind === "await-proof" && message.kind === "proof")
      this.#receiveProof(state, message.proof);
    else this.#fail("wrong-order", `${message.kind} is not allowed in state ${state.kind}`);
  }

  #receiveHello(hello: Hello): void {
    const { versions, channel, machine, nonce, digests } = this.#options;
    // A newer client is answered with our newest version, which it may refuse after ACCEPT.
    if (Math.min(hello.version, versions.newest) < versions.oldest) {
      this.#fail("version", `The client speaks version ${hello.version} at most`);
      return;
    }
    const nonces = { client: hello.nonce, server: nonce };
    const bytes = transcript.attestationTranscript(channel, machine, nonces, digests);
    this.#state = { kind: "mint", hello, transcript: bytes };
  }

  #receiveProof(expected: Expected, proof: Uint8Array): void {
    const { keys, digests } = this.#options;
    const { hash, features } = expected;
    if (digests.equal(proof, transcript.clientProof(keys, hash, digests)))
      this.#state = { kind: "proven", proof, hash, features };
    else this.#fail("wrong-proof", "The client's proof does not fit the token");
  }

  #fail(cause: LoginServerCause, message: string): void {
    if (this.#state.kind === "over") return;
    this.#transmits.length = 0;
    this.#state = { kind: "over", output: { kind: "failed", cause, message } };
  }
}
