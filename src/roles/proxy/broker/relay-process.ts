import { closeSync, writeSync } from "node:fs";
import * as v from "valibot";
import { TokenBucket } from "../../../system/token-bucket.ts";
import type { LogFields } from "../../../system/log.ts";
import {
  DescriptorReader,
  DescriptorWriter,
  openPipe,
  type Pipe,
} from "../../../system/process-pipe.ts";
import { decodeRequest, encodeRecord, type RelayRecord, requestBytes } from "../broker-record.ts";
import { brokerLimits } from "./broker-limits.ts";
import type { BrokerRequest } from "../decision.ts";
import { Outbox } from "./outbox.ts";
import { OwnChild } from "./own-child.ts";
import {
  encodeRelayPlan,
  encodeRelaySecrets,
  relayFds,
  type RelayPlan,
  type RelayReport,
  relayReportSchema,
  type RelaySecrets,
} from "../relay-plan.ts";
import { followReports } from "./report-lines.ts";

export interface RelayProcessOptions {
  readonly program: readonly string[];
  readonly plan: RelayPlan;
  readonly secrets: RelaySecrets;
  readonly onRequest: (request: BrokerRequest) => void;
  readonly onReport: (report: RelayReport) => void;
}

/** One run of the relay. Whatever it asks for is only a wish: strangers' bytes have been through it. */
export class RelayProcess {
  readonly #child: OwnChild;
  readonly #records: Outbox;

  /** Throws where it cannot be started. */
  static start(options: RelayProcessOptions): RelayProcess {
    const pipes = Array.from({ length: 4 }, openPipe);
    const [secrets, records, requests, reports] = pipes as [Pipe, Pipe, Pipe, Pipe];
    const theirs = [secrets.readFd, records.readFd, requests.writeFd, reports.writeFd];
    const ours = [records.writeFd, requests.readFd, reports.readFd];
    try {
      writeSync(secrets.writeFd, encodeRelaySecrets(options.secrets));
      const stdio: (number | "ignore" | "inherit")[] = ["ignore", "ignore", "inherit"];
      stdio[relayFds.secrets] = secrets.readFd;
      stdio[relayFds.records] = records.readFd;
      stdio[relayFds.requests] = requests.writeFd;
      stdio[relayFds.reports] = reports.writeFd;
      return new RelayProcess(options, stdio, ours as [number, number, number]);
    } catch (error) {
      for (const fd of ours) closeSync(fd);
      throw error;
    } finally {
      for (const fd of [...theirs, secrets.writeFd]) closeSync(fd);
    }
  }

  private constructor(
    options: RelayProcessOptions,
    stdio: readonly (number | "ignore" | "inherit")[],
    [records, requests, reports]: readonly [number, number, number],
  ) {
    const command = [...options.program, "proxy", "relay", encodeRelayPlan(options.plan)];
    this.#child = new OwnChild(command, stdio, async (child) => {
      await Promise.all([
        readRequests(new DescriptorReader(requests), options.onRequest),
        followReports(new DescriptorReader(reports), reportLineSchema, child, options.onReport),
      ]);
    });
    this.#records = new Outbox(new DescriptorWriter(records));
    void this.#child.ended.then(() => this.#records.close());
  }

  get ended(): Promise<void> {
    return this.#child.ended;
  }

  get end(): LogFields {
    return this.#child.end;
  }

  get hasListened(): boolean {
    return this.#child.hasListened;
  }

  tell(record: RelayRecord): void {
    this.#records.put(matterOf(record), encodeRecord(record));
  }

  async stop(): Promise<void> {
    // The end of what it is told is its end.
    this.#records.close();
    await this.#child.stop();
  }

  kill(): void {
    this.#child.kill();
  }
}

/** A newer record takes the place of one of the same matter that was not sent yet. */
function matterOf(record: RelayRecord): string {
  if (!("machineId" in record)) return record.kind;
  return record.kind === "start" ? `start ${record.machineId}` : record.machineId;
}

async function readRequests(
  reader: DescriptorReader,
  onRequest: (request: BrokerRequest) => void,
): Promise<void> {
  const perSecond = brokerLimits.requestsPerSecondMax;
  const bucket = new TokenBucket({ perSecond, burst: perSecond, nowMs: performance.now() });
  let rest = new Uint8Array();
  try {
    for (;;) {
      const bytes = await reader.read();
      if (bytes === null) return;
      rest = new Uint8Array(Buffer.concat([rest, bytes]));
      let delayMs = 0;
      for (; rest.byteLength >= requestBytes; rest = rest.subarray(requestBytes)) {
        onRequest(decodeRequest(rest.subarray(0, requestBytes)));
        delayMs = bucket.reserve(performance.now());
      }
      // One that asks too much waits for its pipe.
      if (delayMs > 0) await Bun.sleep(delayMs);
    }
  } finally {
    reader.close();
  }
}

const reportLineSchema = v.pipe(v.string(), v.parseJson(), relayReportSchema);
