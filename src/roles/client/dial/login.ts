import {
  type AttestedMachine,
  type ExpectedMachine,
  verifyEvidence,
} from "../../../fly/attestation.ts";
import { digests } from "../../../fly/digests.ts";
import { flyIssuer } from "../../../fly/issuer.ts";
import type { JwksCache } from "../../../fly/jwks.ts";
import { deriveLoginKeys, TokenError, tokenStrength } from "../../../fly/token.ts";
import type { ByteStream } from "../../../protocol/byte-stream.ts";
import { StreamError } from "../../../protocol/byte-stream.ts";
import { alpn, protocolVersion } from "../../../protocol/limits.ts";
import {
  type LoginAccepted,
  LoginClient,
  type LoginClientOutput,
} from "../../../protocol/login-client.ts";
import { type Connection, closeCodes, ConnectionClosed } from "../../../quic/connection.ts";
import { late, within } from "../../../system/within.ts";
import { clientLimits } from "../limits.ts";
import type { KnownMachine, KnownMachines } from "../vault/known-machines.ts";
import { LoginFailure } from "./login-failure.ts";
import * as failures from "./login-failures.ts";
import { isAtLeast } from "../vault/version-order.ts";

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
    /** The image of first use is remembered as well. */
    readonly pinImage?: boolean | undefined;
    readonly minInitVersion?: string | undefined;
  };
  readonly accessToken: string;
  readonly jwks: JwksCache;
  readonly knownMachines: KnownMachines;
  /** Called after ACCEPT when a machine was remembered just now: show it to the user. */
  readonly onFirstUse?: (machine: AttestedMachine) => void;
  /** Called when Fly's evidence has passed, before anything derived from the token is sent. */
  readonly onAttested?: (machine: AttestedMachine) => void;
  /** The user has seen this machine and wants it in place of the one that was remembered. */
  readonly trusting?: Pick<AttestedMachine, "machineId" | "imageDigest"> | undefined;
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
  return attempted(connection, attempt, async () => attempt.login(options.accessToken));
}

/**
 * Who is at the other end, by Fly's word alone, whatever machine was there before: to be shown to a
 * person. Nothing derived from a token is sent; the connection is of no further use.
 */
export async function attestMachine(
  connection: Connection,
  options: Omit<LoginOptions, "accessToken">,
): Promise<AttestedMachine> {
  const attempt = new LoginAttempt(connection, options);
  return attempted(connection, attempt, async () => attempt.attest());
}

async function attempted<Result>(
  connection: Connection,
  attempt: LoginAttempt,
  work: () => Promise<Result>,
): Promise<Result> {
  // While Fly is asked nothing is on the way that would tell us of the machine's end.
  const probing = setInterval(() => connection.ping?.(), clientLimits.probeFirstMs);
  try {
    return await work();
  } catch (error) {
    const failure = await attempt.failureOf(error);
    const tooOld = failure instanceof LoginFailure && failure.code === "FV-VER-001";
    connection.close(tooOld ? closeCodes.version : closeCodes.loginFailed, "");
    throw failure;
  } finally {
    clearInterval(probing);
  }
}

/** The exchange after HELLO has been made up. */
interface Exchange {
  readonly client: LoginClient;
  readonly stream: ByteStream;
  readonly helloMs: number;
}

type ExchangeStep = Extract<LoginClientOutput, { kind: "verify" | "accepted" }>;

class LoginAttempt {
  readonly #connection: Connection;
  readonly #options: Omit<LoginOptions, "accessToken">;
  readonly #issuer: string;
  #proofSent = false;

  constructor(connection: Connection, options: Omit<LoginOptions, "accessToken">) {
    this.#connection = connection;
    this.#options = options;
    this.#issuer = options.vault.issuer ?? flyIssuer(options.vault.org);
  }

  async login(accessToken: string): Promise<PerformedLogin> {
    const { monotonicMs } = this.#options;
    const startedMs = monotonicMs();
    checkToken(accessToken);
    checkChannel(this.#connection);
    const known = await this.#knownMachine();
    const exchange = await this.#open();
    const machine = await this.#evidence(exchange, known);
    this.#options.onAttested?.(machine);
    const keys = deriveLoginKeys(accessToken, this.#options.vault.app);
    const attestedMs = monotonicMs();
    exchange.client.prove(machine, keys, attestedMs);
    this.#proofSent = true;
    const output = await this.#drive(exchange);
    if (output.kind !== "accepted") throw new TypeError("Evidence came twice");
    await exchange.stream.end();
    this.#checkVersion(output.login.status.init_version);
    await this.#remember(machine, known);
    const times = { attestMs: attestedMs - startedMs, authMs: monotonicMs() - attestedMs };
    return { ...output.login, machine, ...times };
  }

  async attest(): Promise<AttestedMachine> {
    checkChannel(this.#connection);
    return this.#evidence(await this.#open(), undefined);
  }

  async #open(): Promise<Exchange> {
    const { connection, options } = { connection: this.#connection, options: this.#options };
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
    return { client, helloMs, stream: await connection.openStream() };
  }

  async #evidence(exchange: Exchange, known: KnownMachine | undefined): Promise<AttestedMachine> {
    const output = await this.#drive(exchange);
    if (output.kind !== "verify") throw new TypeError("Accepted without evidence");
    return this.#verify(exchange, output.jwt, known);
  }

  /** Until there is something to decide. */
  async #drive({ client, stream }: Exchange): Promise<ExchangeStep> {
    for (;;) {
      const output = client.poll();
      switch (output.kind) {
        case "transmit":
          await stream.write(output.bytes);
          break;
        case "wait":
          await this.#receive(client, stream, output.deadlineMs);
          break;
        case "failed":
          throw failures.failureOfCause(output.cause, output.message);
        case "verify":
        case "accepted":
          return output;
      }
    }
  }

  /** What the user is told. An error of none of our kinds is a bug and passes through. */
  async failureOf(error: unknown): Promise<unknown> {
    if (error instanceof LoginFailure) return error;
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
    { client, helloMs }: Exchange,
    jwt: Uint8Array,
    known: KnownMachine | undefined,
  ): Promise<AttestedMachine> {
    const { jwks, wallMs } = this.#options;
    const machine = await verifyEvidence(jwt, this.#expected(known), {
      key: (kid) => jwks.key(this.#issuer, kid),
      audience: (name) => client.audience(name),
      helloMs,
      nowMs: wallMs(),
    });
    this.#checkTrusting(machine);
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

  get #isRemembered(): boolean {
    const { machineId, pinImage } = this.#options.vault;
    return machineId === undefined || pinImage === true;
  }

  /** The record of first use, where it is needed and the configuration still means the same. */
  async #knownMachine(): Promise<KnownMachine | undefined> {
    const { vault, knownMachines, trusting } = this.#options;
    if (!this.#isRemembered || trusting !== undefined) return undefined;
    const known = await knownMachines.read(vault.name);
    return known !== undefined && this.#isOurs(known) ? known : undefined;
  }

  #checkKnown(machine: AttestedMachine, known: KnownMachine | undefined): void {
    if (known === undefined) return;
    const { vault } = this.#options;
    if (known.machineId !== machine.machineId)
      throw failures.changedMachine(vault.name, known.machineId, machine.machineId);
    if (vault.pinImage !== true || known.imageDigest === undefined) return;
    if (known.imageDigest !== machine.imageDigest)
      throw failures.changedImage(vault.name, known.imageDigest, machine.imageDigest);
  }

  /** The user has agreed to one machine, not to whichever is there by now. */
  #checkTrusting(machine: AttestedMachine): void {
    const { trusting, vault } = this.#options;
    if (trusting === undefined) return;
    if (trusting.machineId !== machine.machineId)
      throw failures.changedMachine(vault.name, trusting.machineId, machine.machineId);
    if (trusting.imageDigest !== machine.imageDigest)
      throw failures.changedImage(vault.name, trusting.imageDigest, machine.imageDigest);
  }

  #checkVersion(version: string): void {
    const { name, minInitVersion } = this.#options.vault;
    if (minInitVersion === undefined || isAtLeast(version, minInitVersion)) return;
    throw failures.oldInit(name, version, minInitVersion);
  }

  /** After both locks have opened: a machine that only Fly vouched for is not worth remembering. */
  async #remember(machine: AttestedMachine, known: KnownMachine | undefined): Promise<void> {
    if (!this.#isRemembered) return;
    const { vault, knownMachines, wallMs, onFirstUse } = this.#options;
    if (known !== undefined) {
      // It was remembered before its image was to be.
      if (vault.pinImage === true && known.imageDigest === undefined)
        await knownMachines.replace(vault.name, machine, known.firstSeenMs);
      return;
    }
    const outdated = await knownMachines.read(vault.name);
    const isReplaced = this.#options.trusting !== undefined;
    if (outdated !== undefined && (isReplaced || !this.#isOurs(outdated)))
      await knownMachines.replace(vault.name, machine, wallMs());
    else if (!(await knownMachines.add(vault.name, machine, wallMs()))) {
      const first = await knownMachines.read(vault.name);
      this.#checkKnown(machine, first);
    }
    onFirstUse?.(machine);
  }

  #isOurs(known: KnownMachine): boolean {
    const { app, machineId } = this.#options.vault;
    const sameMachine = machineId === undefined || known.machineId === machineId;
    return known.issuer === this.#issuer && known.app === app && sameMachine;
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
