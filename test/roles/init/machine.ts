import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ByteStream } from "../../../src/protocol/byte-stream.ts";
import { FrameStream } from "../../../src/protocol/frame.ts";
import {
  type Exit,
  request,
  type SessionAttachRequest,
  type SessionList,
  sessionListSchema,
  type SessionOpenRequest,
  type SessionReply,
  sessionReplySchema,
  type Status,
  statusSchema,
} from "../../../src/protocol/message.ts";
import { SessionClient } from "../../../src/protocol/session-client.ts";
import { childEnv } from "../../../src/system/child-env.ts";
import { selfCommand } from "../../../src/system/self.ts";
import { connectUnix } from "../../../src/system/tcp-stream.ts";
import { makeBusyboxRootfs } from "../../support/busybox-rootfs.ts";

export interface MachineOptions {
  /** Undefined: a busybox root filesystem without an init of its own, which stops at once; null: none. */
  readonly rootfs?: ((root: string) => void) | null;
  readonly env?: Readonly<Record<string, string>>;
  /** Words before init's own command: what starts it. */
  readonly starter?: readonly string[];
}

/** A real init on a volume of its own, spoken to over the keeper's Unix socket as its link does. */
export class TestMachine {
  readonly folder = mkdtempSync(join(tmpdir(), "fv-init-"));
  readonly dataDir = join(this.folder, "data");
  readonly runDir = join(this.folder, "run");
  readonly socket = join(this.runDir, "keeper.sock");
  readonly #options: MachineOptions;
  #process: Bun.Subprocess<"ignore", "ignore", "pipe"> | undefined;
  #log = "";

  constructor(options: MachineOptions = {}) {
    mkdirSync(this.dataDir);
    const { rootfs = (root: string) => makeBusyboxRootfs(root, { init: "none" }) } = options;
    rootfs?.(join(this.dataDir, "rootfs"));
    this.#options = options;
  }

  static async boot(options: MachineOptions = {}): Promise<TestMachine> {
    const machine = new TestMachine(options);
    await machine.start();
    return machine;
  }

  get pid(): number {
    if (this.#process === undefined) throw new Error("The machine is not started");
    return this.#process.pid;
  }

  get log(): string {
    return this.#log;
  }

  /** Waits until init says that it is ready. */
  async start(): Promise<void> {
    const child = Bun.spawn([...(this.#options.starter ?? []), ...selfCommand("init")], {
      env: childEnv(
        { PATH: process.env["PATH"] },
        {
          FLY_APP_NAME: "test-app",
          FLY_MACHINE_ID: "148e21ea7e46e8",
          VAULT_LISTEN: "127.0.0.1:0",
          VAULT_DATA_DIR: this.dataDir,
          VAULT_RUN_DIR: this.runDir,
          VAULT_API_SOCKET: join(this.folder, "api"),
          ...this.#options.env,
        },
      ),
      stdio: ["ignore", "ignore", "pipe"],
    });
    this.#process = child;
    this.#log = "";
    void this.#follow(child.stderr);
    await this.untilLogged('"event":"ready"');
  }

  async untilLogged(text: string): Promise<void> {
    const deadlineMs = performance.now() + 20_000;
    while (!this.#log.includes(text)) {
      if (performance.now() > deadlineMs || this.#process?.exitCode !== null)
        throw new Error(`Never logged ${text}:\n${this.#log}`);
      await Bun.sleep(5);
    }
  }

  async #follow(stderr: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder();
    for await (const bytes of stderr) this.#log += decoder.decode(bytes, { stream: true });
  }

  /** By SIGTERM; returns the exit code. */
  async stop(): Promise<number> {
    this.#process?.kill("SIGTERM");
    const code = (await this.#process?.exited) ?? 0;
    this.#process = undefined;
    return code;
  }

  async kill(): Promise<void> {
    this.#process?.kill("SIGKILL");
    await this.#process?.exited;
    this.#process = undefined;
  }

  /** Stops it and removes its folder. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }

  async connect(): Promise<ByteStream> {
    return connectUnix(this.socket);
  }

  async status(): Promise<Status> {
    return request(new FrameStream(await this.connect()), { type: "status" }, statusSchema);
  }

  async sessions(): Promise<SessionList["sessions"]> {
    const frames = new FrameStream(await this.connect());
    return (await request(frames, { type: "sessions" }, sessionListSchema)).sessions;
  }

  async open(wish: Partial<SessionOpenRequest> = {}): Promise<TestClient> {
    const id = crypto.randomUUID();
    const message = { type: "session-open", id, client: id, tty: false, ...wish } as const;
    return TestClient.connect(new FrameStream(await this.connect()), message);
  }

  async attach(wish: Partial<SessionAttachRequest> & { session: string }): Promise<TestClient> {
    const message = {
      type: "session-attach",
      client: crypto.randomUUID(),
      stdout_offset: 0,
      stderr_offset: 0,
      mode: "take-over",
      ...wish,
    } as const;
    return TestClient.connect(new FrameStream(await this.connect()), message);
  }

  /** What a client does after a lost connection: attaches again with what it has shown. */
  async resume(
    client: TestClient,
    wish: { session: string } & Partial<SessionAttachRequest>,
  ): Promise<TestClient> {
    const message = {
      type: "session-attach",
      client: "",
      mode: "take-over",
      ...client.state.shownOffsets,
      ...wish,
    } as const;
    const frames = new FrameStream(await this.connect());
    const next = await TestClient.connect(frames, message, client.state);
    next.takeOutputFrom(client);
    return next;
  }

  /** One command from start to end. */
  async run(argv: readonly string[], wish: RunWish = {}): Promise<Outcome> {
    const { stdin = "", ...rest } = wish;
    const client = await this.open({ argv: [...argv], ...rest });
    await client.write(stdin);
    await client.endInput();
    return client.outcome();
  }

  async shell(script: string, wish: RunWish = {}): Promise<Outcome> {
    return this.run(["/bin/sh", "-c", script], wish);
  }

  /** Children of init and all below them, as the kernel lists them now. */
  descendants(): number[] {
    const found = childrenOf(this.pid);
    for (const pid of found) found.push(...childrenOf(pid));
    return found;
  }

  linkPid(): number {
    const pid = this.descendants().find((child) => commandLine(child).includes(" init link "));
    if (pid === undefined) throw new Error("There is no link");
    return pid;
  }

  async descendant(words: string): Promise<number> {
    for (let look = 0; look < 1000; look++) {
      const pid = this.descendants().find((child) => commandLine(child).includes(words));
      if (pid !== undefined) return pid;
      await Bun.sleep(5);
    }
    throw new Error(words);
  }

  /** Waits until another link than this one listens. */
  async untilNewLink(before: number): Promise<void> {
    const starts = this.#log.split('"event":"listening"').length;
    const deadlineMs = performance.now() + 20_000;
    while (this.#log.split('"event":"listening"').length === starts || this.linkPid() === before) {
      if (performance.now() > deadlineMs) throw new Error("No new link");
      await Bun.sleep(5);
    }
  }

  openDescriptors(): number {
    return readdirSync(`/proc/${this.pid}/fd`).length;
  }
}

function childrenOf(pid: number): number[] {
  try {
    return readdirSync(`/proc/${pid}/task`)
      .map((task) => readFileSync(`/proc/${pid}/task/${task}/children`, "utf8"))
      .flatMap((text) => text.split(" ").filter(Boolean).map(Number));
  } catch {
    return [];
  }
}

function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
  } catch {
    return "";
  }
}

export type RunWish = Partial<Omit<SessionOpenRequest, "argv">> & { readonly stdin?: string };

export interface Outcome {
  readonly stdout: string;
  readonly stderr: string;
  readonly exit: Exit;
}

/** A client of one session: the real state machine with a driver as small as it gets. */
export class TestClient {
  readonly reply: SessionReply;
  readonly #frames: FrameStream;
  readonly #state: SessionClient;
  readonly #output = { stdout: [] as Uint8Array[], stderr: [] as Uint8Array[] };
  lostBytes = 0;
  receivedBytes = 0;
  exit: Exit | undefined;
  /** False: takes what comes in, but acknowledges and reads no more. */
  reading = true;
  keepOutput = true;
  #over: Promise<void>;
  #turn: Promise<void> = Promise.resolve();
  #change = Promise.withResolvers<void>();

  private constructor(frames: FrameStream, reply: SessionReply, state: SessionClient) {
    this.#frames = frames;
    this.reply = reply;
    this.#state = state;
    this.#over = this.#followToEnd();
    this.#over.catch(() => undefined);
  }

  static async connect(
    frames: FrameStream,
    message: SessionOpenRequest | SessionAttachRequest,
    state: SessionClient = new SessionClient(),
  ): Promise<TestClient> {
    const reply = await request(frames, message, sessionReplySchema);
    state.attached(reply);
    return new TestClient(frames, reply, state);
  }

  get state(): SessionClient {
    return this.#state;
  }

  async write(text: string | Uint8Array): Promise<void> {
    const bytes = typeof text === "string" ? new TextEncoder().encode(text) : text;
    let offset = 0;
    while (offset < bytes.length) {
      const room = this.#state.roomBytes;
      if (room === 0) await this.#change.promise;
      const part = bytes.subarray(offset, offset + this.#state.roomBytes);
      this.#state.write(part);
      offset += part.length;
      await this.#flush();
    }
  }

  async endInput(): Promise<void> {
    this.#state.end();
    await this.#flush();
  }

  /** Bytes a well-behaved client would not send. */
  async raw(bytes: Uint8Array): Promise<void> {
    await this.#frames.stream.write(bytes);
  }

  async resize(rows: number, cols: number): Promise<void> {
    this.#state.resize(rows, cols);
    await this.#flush();
  }

  async signal(signal: number): Promise<void> {
    this.#state.signal(signal);
    await this.#flush();
  }

  stdoutBytes(): Uint8Array {
    return Buffer.concat(this.#output.stdout);
  }

  get stdout(): string {
    return Buffer.from(this.stdoutBytes()).toString();
  }

  /** The same client on another connection: what it has shown stays shown. */
  takeOutputFrom(before: TestClient): void {
    this.#output.stdout.unshift(...before.#output.stdout);
    this.#output.stderr.unshift(...before.#output.stderr);
    void this.#flush();
  }

  get stderr(): string {
    return Buffer.concat(this.#output.stderr).toString();
  }

  /** Waits for the text in stdout. */
  async until(text: string): Promise<void> {
    const deadlineMs = performance.now() + 10_000;
    while (!this.stdout.includes(text)) {
      if (performance.now() > deadlineMs)
        throw new Error(`No ${JSON.stringify(text)} in ${JSON.stringify(this.stdout)}`);
      await Promise.race([this.#change.promise, Bun.sleep(50)]);
    }
  }

  async outcome(): Promise<Outcome> {
    await this.#over;
    if (this.exit === undefined) throw new Error("The stream ended without an exit");
    return { stdout: this.stdout, stderr: this.stderr, exit: this.exit };
  }

  /** Rejects with what ended the stream, where that was an error. */
  async over(): Promise<void> {
    await this.#over;
  }

  /** Goes away as a lost connection does. */
  drop(): void {
    this.#frames.stream.abort(0);
  }

  async #followToEnd(): Promise<void> {
    try {
      await this.#followFrames();
    } finally {
      await this.#frames.stream.end();
    }
  }

  async #followFrames(): Promise<void> {
    for (;;) {
      while (!this.reading) await Bun.sleep(5);
      const frame = await this.#frames.read();
      if (frame === null) return;
      const event = this.#state.receive(frame);
      if (event.kind === "output") {
        this.receivedBytes += event.bytes.length;
        if (this.keepOutput) this.#output[event.stream].push(event.bytes.slice());
      }
      if (event.kind === "lost") this.lostBytes += event.lostBytes;
      if (event.kind === "error") throw event.error;
      if (event.kind === "exit") this.exit = event.exit;
      this.#change.resolve();
      this.#change = Promise.withResolvers<void>();
      await this.#flush();
    }
  }

  /** One after the other: a stream takes one write at a time. */
  async #flush(): Promise<void> {
    const before = this.#turn;
    const run = async (): Promise<void> => {
      await before.catch(() => undefined);
      for (let frame = this.#state.poll(); frame !== undefined; frame = this.#state.poll())
        await this.#frames.writeEncoded(frame);
    };
    this.#turn = run();
    await this.#turn;
  }
}
