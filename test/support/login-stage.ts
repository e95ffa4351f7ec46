import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { JwksCache } from "../../src/fly/jwks.ts";
import { deriveLoginKeys } from "../../src/fly/token.ts";
import type { Status } from "../../src/protocol/message.ts";
import { selfSignedCertificate } from "../../src/quic/certificate.ts";
import type { Connection } from "../../src/quic/connection.ts";
import { Endpoint, type EndpointOptions } from "../../src/quic/endpoint.ts";
import type { ServerIdentity } from "../../src/quic/quiche-config.ts";
import { KnownMachines } from "../../src/roles/client/vault/known-machines.ts";
import {
  type LoginOptions,
  performLogin,
  type PerformedLogin,
} from "../../src/roles/client/dial/login.ts";
import { LoginFailure } from "../../src/roles/client/dial/login-failure.ts";
import { type AcceptedLogin, acceptLogin } from "../../src/roles/init/login.ts";
import { LoginGate } from "../../src/roles/init/login-gate.ts";
import type { LogFields } from "../../src/system/log.ts";
import { issuerKey, type MachineClaims, OidcIssuer } from "./oidc-issuer.ts";
import { recorded, type Recording } from "./recording-connection.ts";

export const weakToken = "correct horse battery staple";

const key = issuerKey("stage-1");
const loopback = { host: "127.0.0.1", port: 0 } as const;

export const readyStatus: Status = {
  vm_state: "ready",
  runtime: "system-init",
  init_version: "0.1.0",
  protocol_oldest: 1,
  protocol_newest: 1,
};

export interface MachineOptions {
  readonly claims?: MachineClaims;
  readonly token?: string;
  readonly identity?: ServerIdentity;
  readonly status?: () => Promise<Status>;
  /** In place of the issuer's honest answer. */
  readonly mint?: (audience: string) => Promise<Uint8Array>;
  readonly monotonicMs?: () => number;
}

/** An issuer, machines that run the real login, and a client, over real QUIC on loopback. */
export class LoginStage {
  readonly issuer = new OidcIssuer([key]);
  readonly #endpoints: Endpoint[] = [];
  readonly #directory: string;

  private constructor(directory: string) {
    this.#directory = directory;
  }

  static async open(): Promise<LoginStage> {
    return new LoginStage(await mkdtemp(join(tmpdir(), "fv-login-")));
  }

  get stateDir(): string {
    return this.#directory;
  }

  async machine(options: MachineOptions = {}): Promise<StageMachine> {
    const identity = options.identity ?? selfSignedCertificate();
    const endpoint = await this.server(identity);
    const machine = new StageMachine(endpoint, identity, options, this.issuer);
    void machine.serve();
    return machine;
  }

  server(identity = selfSignedCertificate()): Promise<Endpoint> {
    return this.#kept(Endpoint.open({ bind: loopback, server: identity }));
  }

  client(options: Partial<EndpointOptions> = {}): Promise<Endpoint> {
    return this.#kept(Endpoint.open({ bind: loopback, ...options }));
  }

  /** One login as the client role does it, with everything it sent. */
  async login(
    address: { host: string; port: number },
    changes: Partial<LoginOptions["vault"]> & LoginChanges = {},
  ): Promise<LoginResult> {
    const { accessToken = weakToken, aheadMs = 0, client, ...vault } = changes;
    const endpoint = client ?? (await this.client());
    const connection = await endpoint.connect(address, { timeoutMs: 20_000 });
    const recording = recorded(connection);
    const wallMs = (): number => Date.now() + aheadMs;
    let firstUses = 0;
    const options: LoginOptions = {
      vault: {
        name: "my-dev",
        org: "acme",
        app: "dev-vaults",
        machineId: "148e21ea7e46e8",
        issuer: this.issuer.url(vault.org),
        ...vault,
      },
      accessToken,
      jwks: new JwksCache({ cacheDir: join(this.#directory, "cache"), wallMs }),
      knownMachines: new KnownMachines(this.#directory),
      onFirstUse: () => {
        firstUses += 1;
      },
      monotonicMs: () => performance.now(),
      wallMs,
      randomBytes: (length) => new Uint8Array(randomBytes(length)),
    };
    try {
      const login = await performLogin(recording.connection, options);
      return { login, failure: undefined, recording, connection, firstUses };
    } catch (error) {
      if (!(error instanceof LoginFailure)) throw error;
      return { login: undefined, failure: error, recording, connection, firstUses };
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.#endpoints.map((endpoint) => endpoint.close()));
    await this.issuer.close();
    await rm(this.#directory, { recursive: true });
  }

  async #kept(opening: Promise<Endpoint>): Promise<Endpoint> {
    const endpoint = await opening;
    this.#endpoints.push(endpoint);
    return endpoint;
  }
}

interface LoginChanges {
  readonly accessToken?: string;
  readonly aheadMs?: number;
  /** From `client`, where it needs options. */
  readonly client?: Endpoint;
}

export interface LoginResult {
  readonly login: PerformedLogin | undefined;
  readonly failure: LoginFailure | undefined;
  readonly recording: Recording;
  readonly connection: Connection;
  readonly firstUses: number;
}

/** A machine whose login is init's own. */
export class StageMachine {
  readonly endpoint: Endpoint;
  readonly identity: ServerIdentity;
  readonly gate: LoginGate;
  readonly logins: (AcceptedLogin | undefined)[] = [];
  readonly lines: (LogFields & { readonly event: string })[] = [];
  readonly evidence: Uint8Array[] = [];

  constructor(
    endpoint: Endpoint,
    identity: ServerIdentity,
    options: MachineOptions,
    issuer: OidcIssuer,
  ) {
    this.endpoint = endpoint;
    this.identity = identity;
    const claims = options.claims ?? {};
    const { app = "dev-vaults", machineId = "148e21ea7e46e8" } = claims;
    const honest = (audience: string): Promise<Uint8Array> =>
      Promise.resolve(new TextEncoder().encode(issuer.sign(audience, claims)));
    this.gate = new LoginGate({
      machine: { appName: app, machineId },
      keys: deriveLoginKeys(options.token ?? weakToken, app),
      mint: async (audience) => {
        const evidence = await (options.mint ?? honest)(audience);
        this.evidence.push(evidence);
        return evidence;
      },
      status: options.status ?? (() => readyStatus),
      monotonicMs: options.monotonicMs ?? (() => performance.now()),
      randomBytes: (length) => new Uint8Array(randomBytes(length)),
      log: (_level, event, fields) => {
        this.lines.push({ event, ...fields });
      },
    });
  }

  get address(): { host: string; port: number } {
    return this.endpoint.address;
  }

  /** Waits, within reason, until so many logins have ended. */
  async settled(count: number): Promise<void> {
    const deadlineMs = performance.now() + 30_000;
    while (this.logins.length < count && performance.now() < deadlineMs) await Bun.sleep(10);
  }

  /** Until the endpoint is closed. */
  async serve(): Promise<void> {
    for (;;) {
      const connection = await this.endpoint.accept();
      if (connection === null) return;
      void this.#login(connection);
    }
  }

  async #login(connection: Connection): Promise<void> {
    this.logins.push(await acceptLogin(connection, this.gate));
  }
}
