import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  decodeRecord,
  encodeRequest,
  type RelayRecord,
} from "../../../src/roles/proxy/broker-record.ts";
import type { BrokerRequest } from "../../../src/roles/proxy/decision.ts";
import { relayFds, type RelayReport } from "../../../src/roles/proxy/relay-plan.ts";
import type { WebOrder, WebReport } from "../../../src/roles/proxy/web-plan.ts";

/** What a stand-in heard, in order. */
type Heard =
  | { kind: "started"; pid: number; plan: Record<string, unknown>; env: Record<string, string> }
  | { kind: "secrets"; text: string }
  | { kind: "record"; hex: string }
  | { kind: "line"; line: WebOrder }
  | { kind: "sigterm" };

/** Relay and web process as a test wants them: `program` starts `stand-in.child.ts` in their place. */
export class StandIns {
  readonly folder = mkdtempSync(join(tmpdir(), "fv-stand-ins-"));
  readonly program: readonly string[];
  readonly #servers: { stop(closeActive?: boolean): void }[] = [];
  readonly #runs: StandIn[] = [];

  constructor() {
    const script = fileURLToPath(new URL("stand-in.child.ts", import.meta.url));
    this.program = [process.execPath, script, this.folder];
    for (const role of ["relay", "web"] as const) this.#servers.push(this.#listen(role));
  }

  /** The next one of that role that was not taken yet. */
  async next(role: "relay" | "web"): Promise<StandIn> {
    const isNew = (run: StandIn): boolean => run.role === role && !run.taken;
    const run = await until(() => this.#runs.find(isNew), `a ${role}`);
    run.taken = true;
    return run;
  }

  close(): void {
    for (const server of this.#servers) server.stop(true);
    rmSync(this.folder, { recursive: true });
  }

  #listen(role: "relay" | "web"): { stop(closeActive?: boolean): void } {
    return Bun.listen<{ run: StandIn; text: string }>({
      unix: join(this.folder, role),
      socket: {
        open: (socket) => {
          socket.data = { run: new StandIn(role, socket), text: "" };
          this.#runs.push(socket.data.run);
        },
        data: (socket, bytes) => {
          const lines = (socket.data.text + new TextDecoder().decode(bytes)).split("\n");
          socket.data.text = lines.pop() ?? "";
          for (const line of lines) socket.data.run.heard.push(JSON.parse(line) as Heard);
        },
        close: (socket) => {
          socket.data.run.ended = true;
        },
      },
    });
  }
}

/** One run of one stand-in. */
export class StandIn {
  readonly role: "relay" | "web";
  readonly heard: Heard[] = [];
  taken = false;
  ended = false;
  readonly #write: (line: string) => void;

  readonly #leave: () => void;

  constructor(role: "relay" | "web", socket: Pick<Bun.Socket, "write" | "end">) {
    this.role = role;
    this.#write = (line) => void socket.write(line);
    this.#leave = () => void socket.end();
  }

  /** Bytes into one of its descriptors. */
  say(fd: number, bytes: string | Uint8Array): void {
    this.#write(`${JSON.stringify({ fd, hex: Buffer.from(bytes).toString("hex") })}\n`);
  }

  /** After all that it was to say it ends by itself. */
  leave(): void {
    this.#leave();
  }

  report(report: RelayReport | WebReport): void {
    this.say(this.role === "relay" ? relayFds.reports : 1, `${JSON.stringify(report)}\n`);
  }

  request(request: BrokerRequest): void {
    this.say(relayFds.requests, encodeRequest(request));
  }

  get records(): RelayRecord[] {
    return this.heard.flatMap((each) =>
      each.kind === "record" ? [decodeRecord(Buffer.from(each.hex, "hex"))] : [],
    );
  }

  get orders(): WebOrder[] {
    return this.heard.flatMap((each) => (each.kind === "line" ? [each.line] : []));
  }

  async started(): Promise<Extract<Heard, { kind: "started" }>> {
    return until(() => this.heard.find((each) => each.kind === "started"), "its start");
  }

  async kill(): Promise<void> {
    const { pid } = await this.started();
    // Never a number that means more than one process to kill(2).
    if (!Number.isInteger(pid) || pid <= 1) throw new RangeError(`No process to kill: ${pid}`);
    process.kill(pid, "SIGKILL");
  }

  async end(): Promise<void> {
    await until(() => (this.ended ? true : undefined), `the end of the ${this.role}`);
  }
}

/** Looks again and again, for at most 30 s. */
export async function until<T>(look: () => T | undefined, what: string): Promise<T> {
  const deadlineMs = performance.now() + 30_000;
  for (;;) {
    const found = look();
    if (found !== undefined) return found;
    if (performance.now() > deadlineMs) throw new Error(`There never was ${what}`);
    await Bun.sleep(2);
  }
}
