import { randomBytes } from "node:crypto";
import { closeSync, openSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ByteStream } from "../../src/protocol/byte-stream.ts";
import { deriveLoginKeys } from "../../src/fly/token.ts";
import { isForwardRequest } from "../../src/protocol/forward-message.ts";
import { FrameStream, frameTypes } from "../../src/protocol/frame.ts";
import {
  decodeJson,
  encodeJson,
  type Progress,
  type ProvisionRequest,
  type Report,
  type Request,
  requestSchema,
  sendError,
  type Status,
} from "../../src/protocol/message.ts";
import type {
  SessionAttachRequest,
  SessionOpenRequest,
} from "../../src/protocol/session-message.ts";
import { MintError } from "../../src/fly/evidence.ts";
import { RemoteError } from "../../src/protocol/errors.ts";
import type { CloseReason, Connection } from "../../src/quic/connection.ts";
import type { DatagramGate } from "../../src/quic/carrier.ts";
import { Endpoint } from "../../src/quic/endpoint.ts";
import { GuestForwards } from "../../src/roles/init/guest-forwards.ts";
import { acceptLogin } from "../../src/roles/init/login.ts";
import { LoginGate } from "../../src/roles/init/login-gate.ts";
import { serveSpeed } from "../../src/roles/init/speed.ts";
import { splice } from "../../src/system/splice.ts";
import { issuerKey, OidcIssuer } from "./oidc-issuer.ts";
import { serveFilesHere } from "./files-here.ts";
import { isSshSide } from "../../src/roles/init/ssh/ssh-requests.ts";
import { serveForward } from "./played-forwards.ts";
import { listen, listenAgain } from "./vault-endpoint.ts";
import { TestSession } from "./test-session.ts";
import { type LackingAnswer, progress, TestUpload } from "./test-upload.ts";

export const testToken = "correct horse battery staple";
export const app = "dev-vaults";
export const machineId = "148e21ea7e46e8";
const key = issuerKey("test-vault");

/**
 * A machine with init's own login and protocol over real QUIC, whose commands run right here. It is
 * made to misbehave on request: restart its link, refuse, be cold.
 */
export class TestVault {
  readonly folder: string;
  readonly issuer = new OidcIssuer([key]);
  readonly sessions = new Map<string, TestSession>();
  readonly requests: Request[] = [];
  /** What was uploaded, whole; the answer is up to `provisionAnswer`. */
  uploaded = 0;
  uploadedHash = "";
  vmState: Status["vm_state"] = "ready";
  runtime: Status["runtime"] = "system-init";
  /** By id, as the machine keeps them over lost links. */
  readonly uploads = new Map<string, TestUpload>();
  /** Sent after the archive is here. */
  lastPhases: readonly Progress["phase"][] = [];
  skipped: readonly string[] = [];
  beforeReply: (() => Promise<void>) | undefined;
  beforeDone: (() => Promise<void>) | undefined;
  cancelAnswer: (() => boolean | RemoteError) | undefined;
  cancelDelay: Promise<void> | undefined;
  rolledBack: Status["rolled_back"];
  rootfsSha256: string | undefined;
  firewall: Status["firewall"];
  lackingAnswer: LackingAnswer | undefined;
  provisionAnswer: ((request: ProvisionRequest) => RemoteError | undefined) | undefined;
  /** Called in place of the answer to any request; true when it dealt with it. */
  onRequest: ((request: Request) => RemoteError | undefined) | undefined;
  /** As machine-report.ts would say. */
  report: Report = {
    uptime_ms: 61_000,
    clock_ms: Date.now(),
    sessions_running: 0,
    sessions_attached: 0,
    disk: { total_bytes: 10 * 2 ** 30, available_bytes: 4 * 2 ** 30 },
    memory: { total_bytes: 2 ** 30, available_bytes: 2 ** 29 },
    load: 0.25,
  };
  poweredOff = false;
  /** A real keeper that answers in our place, as behind its own link. */
  keeper: (() => Promise<ByteStream>) | undefined;
  /** Copies that were asked for, and whether each breaks off at its start. */
  copies = 0;
  breaksCopies = false;
  /** How many of the next logins get no evidence. */
  failingMints = 0;
  mints = 0;
  /** With its own folder in the place of the guest's root. */
  readonly forwards: GuestForwards;
  readonly #rootFolder: number;
  #endpoint: Endpoint;
  #connections: Connection[] = [];
  token = testToken;
  /** Another machine, or another image of it, from the next connection on. */
  machineId = machineId;
  imageDigest = "sha256:9c1f";
  initVersion = "0.1.0";

  private constructor(folder: string, endpoint: Endpoint) {
    this.folder = folder;
    this.#rootFolder = openSync(folder, "r");
    this.forwards = new GuestForwards(() => this.#rootFolder);
    this.#endpoint = endpoint;
    void this.#accept(endpoint);
  }

  static async open(): Promise<TestVault> {
    const folder = await mkdtemp(join(tmpdir(), "fv-client-"));
    const vault = new TestVault(folder, await listen(0));
    await vault.configure({});
    return vault;
  }

  get address(): string {
    return `127.0.0.1:${this.#endpoint.address.port}`;
  }

  get configPath(): string {
    return join(this.folder, "config.toml");
  }

  /** The environment of a client of this vault. */
  get env(): Record<string, string> {
    return {
      FLY_VAULT_CONFIG: this.configPath,
      XDG_STATE_HOME: join(this.folder, "state"),
      XDG_CACHE_HOME: join(this.folder, "cache"),
      HOME: this.folder,
      PATH: process.env["PATH"] ?? "",
      TERM: "xterm-256color",
      FLY_VAULT_NO_LINK: "1",
    };
  }

  /** Writes the configuration of vault "dev"; undefined takes a key out. */
  async configure(keys: Readonly<Record<string, unknown>>): Promise<void> {
    const table = {
      address: this.address,
      org: "acme",
      app,
      machine_id: machineId,
      issuer: this.issuer.url("acme"),
      access_token: testToken,
      ...keys,
    };
    const lines = Object.entries(table)
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => `${name} = ${JSON.stringify(value)}`);
    await writeFile(this.configPath, `[vault.dev]\n${lines.join("\n")}\n`, { mode: 0o600 });
  }

  /** What a crash of the transport process does: all connections are gone, sessions stay. */
  async restartLink(downMs = 0, gate?: DatagramGate): Promise<void> {
    await this.withoutLink(async () => Bun.sleep(downMs), gate);
  }

  /** With nobody there until the work is done. */
  async withoutLink(work: () => Promise<void>, gate?: DatagramGate): Promise<void> {
    const { port } = this.#endpoint.address;
    await this.#endpoint.close();
    this.#connections = [];
    try {
      await work();
    } finally {
      this.#endpoint = await listenAgain(port, gate);
      void this.#accept(this.#endpoint);
    }
  }

  /** Logged in since the start, or since `forgetConnections`. */
  get remotePorts(): number[] {
    return this.#connections.map(({ remoteAddress }) => remoteAddress.port);
  }

  forgetConnections(): void {
    this.#connections = [];
  }

  /** How the newest connection that was logged in over ended. */
  async lastClosed(): Promise<CloseReason | undefined> {
    return this.#connections.at(-1)?.closed;
  }

  get connectionCount(): number {
    return this.#connections.length;
  }

  async close(): Promise<void> {
    for (const session of this.sessions.values()) session.kill();
    await this.#endpoint.close();
    await this.issuer.close();
    this.forwards.close();
    closeSync(this.#rootFolder);
    await rm(this.folder, { recursive: true });
  }

  async #accept(endpoint: Endpoint): Promise<void> {
    for (;;) {
      const connection = await endpoint.accept();
      if (connection === null) return;
      this.#serve(connection).catch(() => undefined);
    }
  }

  /** A gate of its own for each connection: tests log in more often than Fly would allow. */
  #gate(): LoginGate {
    return new LoginGate({
      machine: { appName: app, machineId: this.machineId },
      keys: deriveLoginKeys(this.token, app),
      mint: async (audience) => {
        this.mints += 1;
        if (this.mints <= this.failingMints) throw new MintError("Fly answered 429");
        const { machineId: id, imageDigest } = this;
        const evidence = this.issuer.sign(audience, { app, machineId: id, imageDigest });
        return new TextEncoder().encode(evidence);
      },
      status: () => this.status,
      monotonicMs: () => performance.now(),
      randomBytes: (length) => new Uint8Array(randomBytes(length)),
      log: () => undefined,
    });
  }

  get status(): Status {
    return {
      vm_state: this.vmState,
      runtime: this.runtime,
      init_version: this.initVersion,
      protocol_oldest: 1,
      protocol_newest: 1,
      ...(this.rootfsSha256 === undefined ? {} : { rootfs_sha256: this.rootfsSha256 }),
      ...(this.firewall === undefined ? {} : { firewall: this.firewall }),
      ...(this.rolledBack === undefined ? {} : { rolled_back: this.rolledBack }),
    };
  }

  async #serve(connection: Connection): Promise<void> {
    if ((await acceptLogin(connection, this.#gate())) === undefined) return;
    this.#connections.push(connection);
    for (;;) {
      const stream = await connection.acceptStream();
      if (stream === null) return;
      if (this.keeper !== undefined) {
        this.keeper().then(
          (keeper) => splice(stream, keeper),
          () => stream.abort(1),
        );
        continue;
      }
      const frames = new FrameStream(stream);
      const answering = this.#answer(frames).catch(async (error: unknown) => {
        if (error instanceof RemoteError) {
          await sendError(frames, error);
          await stream.end();
        } else {
          stream.abort(1);
        }
      });
      // Whoever is gone needs no answer.
      answering.catch(() => undefined);
    }
  }

  async #answer(frames: FrameStream): Promise<void> {
    const frame = await frames.read();
    if (frame === null) return;
    const request = decodeJson(requestSchema, frame.payload, "Request");
    this.requests.push(request);
    this.#refuseAsTold(request);
    if (isSshSide(request)) throw new RemoteError("unsupported", "SSH is not played here");
    if (isForwardRequest(request)) return serveForward(frames, request, this.forwards);
    await this.#serveRequest(frames, request);
  }

  async #serveRequest(frames: FrameStream, request: Request): Promise<void> {
    switch (request.type) {
      case "status":
        return reply(frames, this.status);
      case "sessions":
        return reply(frames, { sessions: [...this.sessions.values()].map((one) => one.listed) });
      case "session-open":
        return this.#open(frames, request);
      case "session-attach":
        return this.#attach(frames, request);
      case "session-signal":
        this.sessions.get(request.session)?.kill(request.signal);
        return reply(frames, {});
      case "provision":
        return this.#provision(frames, request);
      case "provision-cancel":
        return this.#cancel(frames, request.id);
      default:
        return this.#tell(frames, request);
    }
  }

  async #tell(frames: FrameStream, request: Request): Promise<void> {
    switch (request.type) {
      case "files":
        return this.#copy(frames);
      case "report":
        return reply(frames, this.report);
      case "power-off":
        this.poweredOff = true;
        return reply(frames, {});
      case "speed":
        return serveSpeed(frames, request, () => performance.now());
      default:
        throw new RemoteError("unsupported", `${request.type} is not played here`);
    }
  }

  async #copy(frames: FrameStream): Promise<void> {
    this.copies += 1;
    if (this.breaksCopies) throw new Error("It broke off");
    await serveFilesHere(frames.release(), this.folder);
  }

  #refuseAsTold(request: Request): void {
    const refusal = this.onRequest?.(request);
    if (refusal !== undefined) throw refusal;
  }

  async #open(frames: FrameStream, request: SessionOpenRequest): Promise<void> {
    const known = this.sessions.get(request.id);
    if (known === undefined && request.name !== undefined && this.#running(request.name))
      throw new RemoteError("already-exists", "a session of that name runs");
    const session = known ?? new TestSession(request);
    this.sessions.set(request.id, session);
    await session.serve(frames, request, known === undefined);
  }

  async #attach(frames: FrameStream, request: SessionAttachRequest): Promise<void> {
    const session = this.sessions.get(request.session) ?? this.#running(request.session);
    if (session === undefined) throw new RemoteError("not-found", "no such session");
    await session.serve(frames, request, false);
  }

  #running(name: string): TestSession | undefined {
    return [...this.sessions.values()].find((one) => one.name === name && !one.ended);
  }

  async #cancel(frames: FrameStream, id: string): Promise<void> {
    await this.cancelDelay;
    const answer = this.cancelAnswer?.() ?? true;
    if (answer instanceof RemoteError) throw answer;
    const upload = this.uploads.get(id);
    if (upload !== undefined && answer) upload.isCancelled = true;
    await reply(frames, { cancelled: answer });
  }

  async #provision(frames: FrameStream, request: ProvisionRequest): Promise<void> {
    await this.beforeReply?.();
    const known = this.uploads.get(request.id);
    const upload = known ?? new TestUpload(this.lackingAnswer);
    this.uploads.set(request.id, upload);
    await reply(frames, { offset: upload.bytes, created: known === undefined });
    const { source } = request;
    const over = await upload.receive(frames, source, async () => {
      this.uploaded = upload.bytes;
      if (upload.bytes > 0 && upload.bytes % (1 << 20) === 0)
        await progress(frames, { phase: "unpack", received_bytes: upload.bytes });
      const refusal = this.provisionAnswer?.(request);
      if (refusal !== undefined) throw refusal;
    });
    if (!over) return;
    for (const phase of this.lastPhases)
      await progress(frames, { phase, received_bytes: upload.bytes });
    await this.beforeDone?.();
    if (upload.isCancelled) throw new RemoteError("cancelled", "The client cancelled it");
    this.uploadedHash = upload.digest;
    this.vmState = "ready";
    const done = {
      sha256: source.kind === "delta" ? source.archive_sha256 : upload.digest,
      entries: 3,
      written_bytes: upload.bytes,
      skipped: this.skipped,
      status: this.status,
    };
    await frames.write(frameTypes.done, encodeJson(done));
    await frames.stream.end();
  }
}

async function reply(frames: FrameStream, body: unknown): Promise<void> {
  await frames.write(frameTypes.ok, encodeJson(body));
}
