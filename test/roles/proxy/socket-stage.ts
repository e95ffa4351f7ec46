import { closeSync, writeSync } from "node:fs";
import { type AdmissionKey, deriveAdmissionKey } from "../../../src/quic/admission-key.ts";
import { sealAdmission } from "../../../src/quic/admission-header.ts";
import { formatProxyMaster } from "../../../src/quic/proxy-master.ts";
import { idKeys, routedId } from "../../../src/quic/routed-id.ts";
import { type BrokerRequest } from "../../../src/roles/proxy/decision.ts";
import {
  decodeRequest,
  encodeRecord,
  type RelayRecord,
  requestBytes,
} from "../../../src/roles/proxy/broker-record.ts";
import { ownChildEnv } from "../../../src/roles/proxy/broker/own-child.ts";
import {
  encodeRelayPlan,
  encodeRelaySecrets,
  type RelayPlan,
  relayFds,
  type RelayReport,
  relayReportSchema,
} from "../../../src/roles/proxy/relay-plan.ts";
import { DescriptorReader, openPipe } from "../../../src/system/process-pipe.ts";
import { selfCommand } from "../../../src/system/self.ts";
import * as v from "valibot";
import { UdpPeer } from "./udp-peer.ts";

export const master = new Uint8Array(32).fill(5);
export const cookie = new Uint8Array(8).fill(9);

/** A relay in a process of its own; the test is its broker. */
export class SocketStage {
  readonly child: Bun.Subprocess;
  readonly log: Promise<string>;
  readonly #recordsFd: number;
  readonly #reports: Lines;
  readonly #requests: DescriptorReader;
  readonly #peers: UdpPeer[] = [];
  #requestBytes: Uint8Array = new Uint8Array(0);
  #listening: Extract<RelayReport, { kind: "listening" }> | undefined;
  #recordsOpen = true;

  static start(
    plan: Partial<RelayPlan> = {},
    {
      prefix = [],
      secrets,
    }: { readonly prefix?: readonly string[]; readonly secrets?: string } = {},
  ): SocketStage {
    const whole: RelayPlan = {
      brokerPid: process.pid,
      listen: [{ host: "127.0.0.1", port: 0 }],
      backendPort: 9,
      sessionTimeoutMs: 180_000,
      open: false,
      machineBitsPerSecond: 1e9,
      logLevel: "info",
      ...plan,
    };
    const pipes = [openPipe(), openPipe(), openPipe(), openPipe()] as const;
    const [secretsPipe, records, requests, reports] = pipes;
    const masters = formatProxyMaster({ epoch, master });
    const line = encodeRelaySecrets({ masters, doorCookie: Buffer.from(cookie).toString("hex") });
    writeSync(secretsPipe.writeFd, secrets ?? line);
    closeSync(secretsPipe.writeFd);
    const stdio: (number | "ignore" | "pipe")[] = ["ignore", "ignore", "pipe"];
    stdio[relayFds.secrets] = secretsPipe.readFd;
    stdio[relayFds.records] = records.readFd;
    stdio[relayFds.requests] = requests.writeFd;
    stdio[relayFds.reports] = reports.writeFd;
    const child = Bun.spawn([...prefix, ...selfCommand("proxy", "relay", encodeRelayPlan(whole))], {
      env: ownChildEnv(),
      stdio: stdio as ["ignore", "ignore", "pipe", number, number, number, number],
    });
    for (const fd of [secretsPipe.readFd, records.readFd, requests.writeFd, reports.writeFd])
      closeSync(fd);
    return new SocketStage(child, records.writeFd, {
      requests: new DescriptorReader(requests.readFd),
      reports: new Lines(new DescriptorReader(reports.readFd)),
    });
  }

  private constructor(
    child: Bun.Subprocess,
    recordsFd: number,
    from: { readonly requests: DescriptorReader; readonly reports: Lines },
  ) {
    this.child = child;
    this.#recordsFd = recordsFd;
    this.#requests = from.requests;
    this.#reports = from.reports;
    this.log =
      child.stderr instanceof ReadableStream
        ? new Response(child.stderr).text()
        : Promise.resolve("");
  }

  async listening(): Promise<Extract<RelayReport, { kind: "listening" }>> {
    while (this.#listening === undefined) {
      const report = await this.report();
      if (report.kind === "failed") throw new Error(report.message);
    }
    return this.#listening;
  }

  /** One of the addresses it listens on. */
  async address(index = 0): Promise<{ readonly host: string; readonly port: number }> {
    const address = (await this.listening()).addresses[index];
    if (address === undefined) throw new RangeError(`No address ${index}`);
    return address;
  }

  async report(): Promise<RelayReport> {
    const report = v.parse(reportLineSchema, await this.#reports.next());
    if (report.kind === "listening") this.#listening = report;
    return report;
  }

  /** The next metrics for which this holds. */
  async metrics(
    holds: (metrics: Extract<RelayReport, { kind: "metrics" }>) => boolean,
  ): Promise<Extract<RelayReport, { kind: "metrics" }>> {
    for (;;) {
      const report = await this.report();
      if (report.kind === "metrics" && holds(report)) return report;
    }
  }

  learn(...records: readonly RelayRecord[]): void {
    for (const record of records) writeSync(this.#recordsFd, encodeRecord(record));
  }

  /** A started machine at an address where the test listens itself. */
  async machine(machineId: string, host: string, port: number): Promise<UdpPeer> {
    const peer = await this.peer(host, port);
    this.learn({ kind: "machine", machineId, state: "started", address: host });
    return peer;
  }

  async request(): Promise<BrokerRequest> {
    while (this.#requestBytes.byteLength < requestBytes) {
      const bytes = await this.#requests.read();
      if (bytes === null) throw new Error("The relay is gone");
      this.#requestBytes = Buffer.concat([this.#requestBytes, bytes]);
    }
    const request = decodeRequest(this.#requestBytes.subarray(0, requestBytes));
    this.#requestBytes = this.#requestBytes.subarray(requestBytes);
    return request;
  }

  /** Closed with the stage. */
  async peer(host: string, port = 0): Promise<UdpPeer> {
    const peer = await UdpPeer.open(host, port);
    this.#peers.push(peer);
    return peer;
  }

  leave(): void {
    if (this.#recordsOpen) closeSync(this.#recordsFd);
    this.#recordsOpen = false;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.leave();
    for (const peer of this.#peers) peer.close();
    this.child.kill("SIGKILL");
    await this.child.exited;
    this.#reports.close();
    this.#requests.close();
  }
}

class Lines {
  readonly #reader: DescriptorReader;
  readonly #decoder = new TextDecoder();
  #text = "";

  constructor(reader: DescriptorReader) {
    this.#reader = reader;
  }

  async next(): Promise<string> {
    for (;;) {
      const end = this.#text.indexOf("\n");
      if (end !== -1) {
        const line = this.#text.slice(0, end);
        this.#text = this.#text.slice(end + 1);
        return line;
      }
      const bytes = await this.#reader.read();
      if (bytes === null) throw new Error("The relay is gone");
      this.#text += this.#decoder.decode(bytes, { stream: true });
    }
  }

  close(): void {
    this.#reader.close();
  }
}

const reportLineSchema = v.pipe(v.string(), v.parseJson(), relayReportSchema);
const epoch = 3;

export function keyOf(machineId: string): AdmissionKey {
  return deriveAdmissionKey(master, epoch, machineId);
}

/** A datagram with a short header, to an id as the machine would have made it. */
export function bareDatagram(machineId: string, length: number, nonce = 1): Uint8Array {
  const key = keyOf(machineId);
  const datagram = new Uint8Array(length).fill(0xee);
  datagram[0] = 0x40;
  datagram.set(routedId(key, idKeys(key), new Uint8Array(7).fill(nonce)), 1);
  return datagram;
}

/** An Initial as a client's first, behind its header. */
export function admission(machineId: string, random: number, length = 1200): Uint8Array {
  const datagram = new Uint8Array(length).fill(0xdd);
  datagram.set([0xc3, 0, 0, 0, 1, 16]);
  const timeS = Math.floor(Date.now() / 1000);
  return sealAdmission(keyOf(machineId), datagram, timeS, new Uint8Array(3).fill(random));
}
