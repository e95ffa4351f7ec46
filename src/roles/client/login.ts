import {
  type AttestedMachine,
  type ExpectedMachine,
  verifyEvidence,
} from "../../fly/attestation.ts";
import { digests } from "../../fly/digests.ts";
import { flyIssuer } from "../../fly/issuer.ts";
import type { JwksCache } from "../../fly/jwks.ts";
import { deriveLoginKeys, TokenError, tokenStrength } from "../../fly/token.ts";
import type { ByteStream } from "../../protocol/byte-stream.ts";
import { StreamError } from "../../protocol/byte-stream.ts";
import { alpn, protocolVersion } from "../../protocol/limits.ts";
import { type LoginAccepted, LoginClient } from "../../protocol/login-client.ts";
import type { ProofKeys } from "../../protocol/transcript.ts";
import { type Connection, closeCodes, ConnectionClosed } from "../../quic/connection.ts";
import { late, within } from "../../system/within.ts";
import { clientLimits } from "./limits.ts";
import type { KnownMachine, KnownMachines } from "./known-machines.ts";
import * as failures from "./login-failure.ts";

export interface LoginOptions {
  readonly vault: {
    readonly name: string;
    readonly org: string;
    readonly app: string;
    /** Without one, the machine of first use is remembered and no other taken. */
    readonly machineId?: string | undefined;
    /** Fly's issuer of `org` unless set; checked by `checkIssuer` of src/fly/issuer.ts. */
    readonly issuer?: string | undefined;
    readonly imageDigests?: readonly string[] | undefined;
  };
  readonly accessToken: string;
  readonly jwks: JwksCache;
  readonly knownMachines: KnownMachines;
  /** Called after ACCEPT when a machine was remembered just now: show it to the user. */
  readonly onFirstUse?: (machine: AttestedMachine) => void;
  readonly monotonicMs: () => number;
  readonly wallMs: () => number;
  readonly randomBytes: (length: number) => Uint8Array;
}

export interface PerformedLogin extends LoginAccepted {
  readonly machine: AttestedMachine;
  /** From the first byte to the machine's proof that Fly vouches for it, and from there to its word. */
  readonly attestMs: number;
  readonly authMs: number;
}

/**
 * The client's side of the login (docs/login.md) on a fresh connection, in the order of its checks.
 * Rejects with `LoginFailure`, and the connection is closed then. Nothing is taken over from an
 * earlier connection: keys of the issuer may be, verdicts never.
 */
export async function performLogin(
  connection: Connection,
  options: LoginOptions,
): Promise<PerformedLogin> {
  const attempt = new LoginAttempt(connection, options);
  // While Fly is asked nothing is on the way that would tell us of the machine's end.
  const probing = setInterval(() => connection.ping?.(), clientLimits.probeFirstMs);
  try {
    return await attempt.run();
  } catch (error) {
    const failure = await attempt.failureOf(error);
    const tooOld = failure instanceof failures.LoginFailure && failure.code === "FV-VER-001";
    connection.close(tooOld ? closeCodes.version : closeCodes.loginFailed, "");
    throw failure;
  } finally {
    clearInterval(probing);
  }
}

class LoginAttempt {
  readonly #connection: Connection;
  readonly #options: LoginOptions;
  readonly #issuer: string;
  #proofSent = false;

  constructor(connection: Connection, options: LoginOptions) {
    this.#connection = connection;
    this.#options = options;
    this.#issuer = options.vault.issuer ?? flyIssuer(options.vault.org);
  }

  async run(): Promise<PerformedLogin> {
    const startedMs = this.#options.monotonicMs();
    const { connection, options } = { connection: this.#connection, options: this.#options };
    checkToken(options.accessToken);
    checkChannel(connection);
    const known = await this.#knownMachine();
    const helloMs = options.wallMs();
    const client = new LoginClient({
      channel: {
        alpn: connection.alpn,
        certificate: connection.serverCertificate,
        binding: connection.channelBinding,
      },
      nonce: options.randomBytes(32),
      features: loginFeatures,
      versions: protocolVersion,
      digests,
      nowMs: options.monotonicMs(),
    });
    const stream = await connection.openStream();
    let machine: AttestedMachine | undefined;
    let attestedMs = startedMs;
    for (;;) {
      const output = client.poll();
      switch (output.kind) {
        case "transmit":
          await stream.write(output.bytes);
          break;
        case "wait":
          await this.#receive(client, stream, output.deadlineMs);
          break;
        case "verify":
          machine = await this.#verify(client, output.jwt, known, helloMs);
          client.prove(machine, this.#keys(), options.monotonicMs());
          this.#proofSent = true;
          attestedMs = options.monotonicMs();
          break;
        case "failed":
          throw failures.failureOfCause(output.cause, output.message);
        case "accepted":
          if (machine === undefined) throw new TypeError("Accepted without evidence");
          await stream.end();
          await this.#remember(machine, known);
          return {
            ...output.login,
            machine,
            attestMs: attestedMs - startedMs,
            authMs: options.monotonicMs() - attestedMs,
          };
      }
    }
  }

  /** What the user is told. An error of none of our kinds is a bug and passes through. */
  async failureOf(error: unknown): Promise<unknown> {
    if (error instanceof failures.LoginFailure) return error;
    if (error instanceof ConnectionClosed)
      return failures.failureOfClose(error.reason, this.#proofSent);
    if (error instanceof StreamError) {
      // The reason of the connection's end says more than its stream can.
      const reason = await within(this.#connection.closed, closeReasonWaitMs);
      return reason === late
        ? failures.failureOfCause("malformed", `The login stream broke off: ${error.kind}`)
        : failures.failureOfClose(reason, this.#proofSent);
    }
    return failures.failureOfError(error, this.#options.vault.name) ?? error;
  }

  async #receive(client: LoginClient, stream: ByteStream, deadlineMs: number): Promise<void> {
    const waitMs = Math.max(0, deadlineMs - this.#options.monotonicMs());
    const bytes = await within(stream.read(), waitMs);
    if (bytes === late) client.receiveTime(Math.max(deadlineMs, this.#options.monotonicMs()));
    else if (bytes === null) client.receiveEnd();
    else client.receive(bytes);
  }

  async #verify(
    client: LoginClient,
    jwt: Uint8Array,
    known: KnownMachine | undefined,
    helloMs: number,
  ): Promise<AttestedMachine> {
    const { jwks, wallMs } = this.#options;
    const machine = await verifyEvidence(jwt, this.#expected(known), {
      key: (kid) => jwks.key(this.#issuer, kid),
      audience: (name) => client.audience(name),
      helloMs,
      nowMs: wallMs(),
    });
    this.#checkKnown(machine, known);
    return machine;
  }

  #expected(known: KnownMachine | undefined): ExpectedMachine {
    const { vault } = this.#options;
    return {
      issuer: this.#issuer,
      org: vault.org,
      app: vault.app,
      ...(vault.machineId === undefined ? {} : { machineId: vault.machineId }),
      ...(vault.imageDigests === undefined ? {} : { imageDigests: vault.imageDigests }),
      ...(known === undefined ? {} : { orgId: known.orgId, appId: known.appId }),
    };
  }

  /** The record of first use, where the configuration names no machine and still means the same app. */
  async #knownMachine(): Promise<KnownMachine | undefined> {
    const { vault, knownMachines } = this.#options;
    if (vault.machineId !== undefined) return undefined;
    const known = await knownMachines.read(vault.name);
    return known?.issuer === this.#issuer && known.app === vault.app ? known : undefined;
  }

  #checkKnown(machine: AttestedMachine, known: KnownMachine | undefined): void {
    if (known === undefined || known.machineId === machine.machineId) return;
    const { vault, knownMachines } = this.#options;
    const path = knownMachines.path(vault.name);
    throw failures.changedMachine(vault.name, known.machineId, machine.machineId, path);
  }

  /** After both locks have opened: a machine that only Fly vouched for is not worth remembering. */
  async #remember(machine: AttestedMachine, known: KnownMachine | undefined): Promise<void> {
    const { vault, knownMachines, wallMs, onFirstUse } = this.#options;
    if (vault.machineId !== undefined || known !== undefined) return;
    const outdated = await knownMachines.read(vault.name);
    if (outdated !== undefined && !this.#isOurs(outdated))
      await knownMachines.replace(vault.name, machine, wallMs());
    else if (!(await knownMachines.add(vault.name, machine, wallMs()))) {
      const first = await knownMachines.read(vault.name);
      this.#checkKnown(machine, first);
    }
    onFirstUse?.(machine);
  }

  #isOurs(known: KnownMachine): boolean {
    return known.issuer === this.#issuer && known.app === this.#options.vault.app;
  }

  #keys(): ProofKeys {
    return deriveLoginKeys(this.#options.accessToken, this.#options.vault.app);
  }
}

/** Before anything is sent, so that a slip of the pen does not look like a refusal. */
function checkToken(token: string): void {
  const strength = tokenStrength(token);
  if (strength === "empty" || strength === "mistyped") throw new TokenError(strength);
}

/** Checks 1 to 3. That the handshake was whole, not resumed and without early data, `connect` saw to. */
function checkChannel(connection: Connection): void {
  const { serverCertificate, serverCertificateCount, channelBinding } = connection;
  if (connection.alpn !== alpn)
    throw failures.channelFailure(`it speaks ${JSON.stringify(connection.alpn)}, not ${alpn}`);
  if (serverCertificateCount !== 1)
    throw failures.channelFailure(`${serverCertificateCount} certificates came, init sends one`);
  if (serverCertificate.length === 0 || serverCertificate.length > certificateBytesMax)
    throw failures.channelFailure(`a certificate of ${serverCertificate.length} bytes came`);
  if (channelBinding.length !== 32)
    throw failures.channelFailure("the channel gave no binding to check evidence against");
}

const certificateBytesMax = 2048;
const closeReasonWaitMs = 500;

/** None yet; a bit that is not known is ignored, and both sides' words are in the proofs. */
const loginFeatures = 0;
