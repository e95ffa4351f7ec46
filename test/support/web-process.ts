import { randomBytes } from "node:crypto";
import { fileURLToPath } from "node:url";
import * as v from "valibot";
import {
  decodeDoorFrame,
  type DoorFrame,
  encodeDoorFrame,
} from "../../src/roles/proxy/door-frame.ts";
import {
  encodeWebOrder,
  encodeWebPlan,
  encodeWebSecrets,
  type WebOrder,
  type WebPlan,
  type WebReport,
  webReportSchema,
} from "../../src/roles/proxy/web-plan.ts";

const program = fileURLToPath(new URL("../roles/proxy/web.child.ts", import.meta.url));

/** A web process, played its broker and, by a socket on loopback, the door of its relay. */
export class WebProcess implements AsyncDisposable {
  readonly cookie = new Uint8Array(randomBytes(8));
  readonly reports: WebReport[] = [];
  /** What came at the door. */
  readonly frames: DoorFrame[] = [];
  /** What the door does with a frame; by default it is only noted. */
  onFrame: ((frame: DoorFrame) => void) | undefined;
  log = "";
  readonly #child: Bun.Subprocess<"pipe", "pipe", "pipe">;
  readonly #door: Bun.udp.Socket<"buffer">;
  #from = 0;

  private constructor(plan: WebPlan, door: Bun.udp.Socket<"buffer">) {
    this.#door = door;
    this.#child = Bun.spawn([process.execPath, program, encodeWebPlan(plan)], {
      env: { PATH: process.env["PATH"] ?? "" },
      stdin: "pipe",
      stdout: "pipe",
      stderr: "pipe",
    });
    void this.#follow();
    void this.#keepLog();
  }

  static async open(changes: Partial<WebPlan> = {}): Promise<WebProcess> {
    const opened: WebProcess[] = [];
    const door = await Bun.udpSocket({
      hostname: "127.0.0.1",
      binaryType: "buffer",
      socket: { data: (_socket, bytes, port) => opened[0]?.receive(bytes, port) },
    });
    const any = { host: "127.0.0.1", port: 0 };
    const plan: WebPlan = {
      brokerPid: process.pid,
      http: any,
      metrics: any,
      trustClientIp: false,
      logLevel: "info",
      ...changes,
    };
    const web = new WebProcess(plan, door);
    opened.push(web);
    await web.write(encodeWebSecrets({ doorCookie: Buffer.from(web.cookie).toString("hex") }));
    return web;
  }

  /** One that listens, and knows the door. */
  static async listening(changes: Partial<WebPlan> = {}): Promise<WebProcess> {
    const web = await WebProcess.open(changes);
    await web.until(() => web.reports.length > 0);
    await web.order({ kind: "door", port: web.#door.port });
    return web;
  }

  url(path: string, server: "http" | "metrics" = "http"): string {
    const listening = this.reports.find((one) => one.kind === "listening");
    const address = listening?.[server];
    if (address === undefined) throw new Error(`No ${server}: ${JSON.stringify(this.reports)}`);
    return `http://${address.host.includes(":") ? `[${address.host}]` : address.host}:${address.port}${path}`;
  }

  get webSocketUrl(): string {
    return this.url("/v1/datagrams").replace("http:", "ws:");
  }

  get doorPort(): number {
    return this.#door.port;
  }

  get exited(): Promise<number> {
    return this.#child.exited;
  }

  get newestCounters(): Readonly<Record<string, number>> {
    const newest = this.reports.findLast((one) => one.kind === "metrics");
    return { ...newest?.counters, ...newest?.gauges };
  }

  async order(order: WebOrder): Promise<void> {
    await this.write(encodeWebOrder(order));
  }

  async write(line: string): Promise<void> {
    await this.#child.stdin.write(line);
    await this.#child.stdin.flush();
  }

  async endInput(): Promise<void> {
    await this.#child.stdin.end();
  }

  /** From the relay to a client. */
  answer(connection: number, datagram: Uint8Array, cookie = this.cookie): void {
    const frame = encodeDoorFrame(cookie, { connection, address: "0.0.0.0", datagram });
    this.#door.send(frame, this.#from, "127.0.0.1");
  }

  async until(holds: () => boolean): Promise<void> {
    const deadlineMs = performance.now() + 30_000;
    while (!holds()) {
      if (performance.now() > deadlineMs)
        throw new Error(`Never so: ${JSON.stringify(this.reports.at(-1))}\n${this.log}`);
      await Bun.sleep(5);
    }
  }

  receive(bytes: Uint8Array, port: number): void {
    this.#from = port;
    const frame = decodeDoorFrame(this.cookie, bytes);
    if (frame === null) throw new Error("A frame without the cookie");
    this.frames.push(frame);
    this.onFrame?.(frame);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.exited;
    this.#door.close();
  }

  async #follow(): Promise<void> {
    const decoder = new TextDecoder();
    let text = "";
    for await (const chunk of this.#child.stdout) {
      text += decoder.decode(chunk, { stream: true });
      const lines = text.split("\n");
      text = lines.pop() ?? "";
      for (const line of lines) this.reports.push(v.parse(webReportSchema, JSON.parse(line)));
    }
  }

  async #keepLog(): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of this.#child.stderr)
      this.log += decoder.decode(chunk, { stream: true });
  }
}
