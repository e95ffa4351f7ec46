import { closeSync, writeSync } from "node:fs";
import { formatProxyMaster } from "../../src/quic/proxy-master.ts";
import { encodeRecord } from "../../src/roles/proxy/broker-record.ts";
import { ownChildEnv } from "../../src/roles/proxy/broker/own-child.ts";
import { encodeRelayPlan, encodeRelaySecrets, relayFds } from "../../src/roles/proxy/relay-plan.ts";
import { DescriptorReader, openPipe } from "../../src/system/process-pipe.ts";
import { selfCommand } from "../../src/system/self.ts";
import { machineIdOf, machinesOf } from "./load-plan.ts";
import { backend, cpuSecondsOf, pinned, residentBytesOf, type Subject } from "./subject.ts";

export const benchMaster = { epoch: 3, master: new Uint8Array(32).fill(5) } as const;

/** The relay of vault-proxy as its broker starts it, with as many machines as the flows need. */
export async function openOurs(flows: number): Promise<Subject> {
  const [secrets, records, requests, reports] = [openPipe(), openPipe(), openPipe(), openPipe()];
  writeSync(
    secrets.writeFd,
    encodeRelaySecrets({ masters: formatProxyMaster(benchMaster), doorCookie: "00".repeat(8) }),
  );
  const stdio: (number | "ignore" | "inherit")[] = ["ignore", "ignore", "inherit"];
  stdio[relayFds.secrets] = secrets.readFd;
  stdio[relayFds.records] = records.readFd;
  stdio[relayFds.requests] = requests.writeFd;
  stdio[relayFds.reports] = reports.writeFd;
  const plan = encodeRelayPlan({
    brokerPid: process.pid,
    listen: [{ host: "127.0.0.1", port: 0 }],
    backendPort: backend.port,
    sessionTimeoutMs: 180_000,
    open: false,
    machineBitsPerSecond: 1e11,
    logLevel: "warn",
  });
  const child = Bun.spawn([...pinned(1), ...selfCommand("proxy", "relay", plan)], {
    env: ownChildEnv(),
    stdio: stdio as ["ignore", "ignore", "ignore", number, number, number, number],
  });
  for (const fd of [secrets.readFd, secrets.writeFd, records.readFd, requests.writeFd])
    closeSync(fd);
  closeSync(reports.writeFd);
  const reader = new DescriptorReader(reports.readFd);
  const lines = new TextDecoder();
  const listening: unknown = JSON.parse(
    lines.decode((await reader.read()) ?? new Uint8Array()).split("\n")[0] ?? "",
  );
  const { addresses } = listening as { addresses: { host: string; port: number }[] };
  void drain(reader, lines);
  for (let machine = 0; machine < machinesOf(flows); machine++)
    writeSync(
      records.writeFd,
      encodeRecord({
        kind: "machine",
        machineId: machineIdOf(machine),
        state: "started",
        address: backend.host,
      }),
    );
  writeSync(records.writeFd, encodeRecord({ kind: "synced" }));
  return {
    name: "fly-vault",
    address: addresses[0] ?? { host: "", port: 0 },
    cpuSeconds: () => cpuSecondsOf(child.pid),
    residentBytes: () => residentBytesOf(child.pid),
    close: async () => {
      closeSync(records.writeFd);
      await child.exited;
      closeSync(requests.readFd);
    },
  };
}

async function drain(reader: DescriptorReader, decoder: TextDecoder): Promise<void> {
  for (let bytes = await reader.read(); bytes !== null; bytes = await reader.read()) {
    const text = decoder.decode(bytes);
    if (process.env["FV_BENCH_METRICS"] !== undefined) process.stderr.write(text);
  }
  reader.close();
}
