import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ByteStream } from "../../../src/protocol/byte-stream.ts";
import { FrameStream } from "../../../src/protocol/frame.ts";
import { request, type Status, statusSchema } from "../../../src/protocol/message.ts";
import {
  type SessionAttachRequest,
  type SessionList,
  sessionListSchema,
  type SessionOpenRequest,
} from "../../../src/protocol/session-message.ts";
import { childEnv } from "../../../src/system/child-env.ts";
import { textOf } from "../../../src/system/proc-files.ts";
import { selfCommand } from "../../../src/system/self.ts";
import { connectUnix } from "../../../src/system/tcp-stream.ts";
import { within } from "../../../src/system/within.ts";
import { makeBusyboxRootfs } from "../../support/busybox-rootfs.ts";
import { type Outcome, TestClient } from "./test-client.ts";

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
  #following: Promise<void> = Promise.resolve();
  /** All that init and its children said was read. */
  #isLogOver = true;
  /** How often a link had said that it listens, when this one was looked for. */
  readonly #listensBefore = new Map<number, number>();

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
    this.#isLogOver = false;
    this.#following = this.#follow(child.stderr);
    await this.untilLogged('"event":"ready"');
  }

  async untilLogged(text: string): Promise<void> {
    const deadlineMs = performance.now() + 20_000;
    while (!this.#log.includes(text)) {
      // Not its exit: what it said last may be read after that.
      if (performance.now() > deadlineMs || this.#isLogOver)
        throw new Error(`Never logged ${text}:\n${this.#log}`);
      await Bun.sleep(5);
    }
  }

  async #follow(stderr: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder();
    for await (const bytes of stderr) this.#log += decoder.decode(bytes, { stream: true });
    this.#isLogOver = true;
  }

  /** By SIGTERM; returns the exit code. */
  async stop(): Promise<number> {
    this.#process?.kill("SIGTERM");
    const code = (await this.#process?.exited) ?? 0;
    await this.#over();
    return code;
  }

  async kill(): Promise<void> {
    this.#process?.kill("SIGKILL");
    await this.#process?.exited;
    await this.#over();
  }

  /** Whoever outlives it may hold its log open, and has nothing more to say. */
  async #over(): Promise<void> {
    await within(this.#following, 5000);
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

  /** Those of them that ended and were not waited for. */
  zombies(): number[] {
    return this.descendants().filter((pid) => /^State:\tZ/m.test(textOf(`/proc/${pid}/status`)));
  }

  linkPid(): number {
    const pid = this.#findLink();
    if (pid === undefined) throw new Error("There is no link");
    this.#listensBefore.set(pid, this.#listens);
    return pid;
  }

  #findLink(): number | undefined {
    return this.descendants().find((child) => commandLine(child).includes(" init link "));
  }

  get #listens(): number {
    return this.#log.split('"event":"listening"').length;
  }

  async descendant(words: string): Promise<number> {
    const deadlineMs = performance.now() + 30_000;
    while (performance.now() < deadlineMs) {
      const pid = this.descendants().find((child) => commandLine(child).includes(words));
      if (pid !== undefined) return pid;
      await Bun.sleep(5);
    }
    throw new Error(words);
  }

  /** Waits until another link than this one, which `linkPid` gave, listens; it may do so already. */
  async untilNewLink(before: number): Promise<void> {
    const listens = this.#listensBefore.get(before);
    const deadlineMs = performance.now() + 20_000;
    while (this.#listens === listens || this.#findLink() === before) {
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
  return textOf(`/proc/${pid}/cmdline`).replaceAll("\0", " ");
}

export type RunWish = Partial<Omit<SessionOpenRequest, "argv">> & { readonly stdin?: string };
