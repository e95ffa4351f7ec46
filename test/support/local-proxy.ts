import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { mkdtemp, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { deriveAdmissionKey, formatAdmissionKey } from "../../src/quic/admission-key.ts";
import { formatProxyMaster } from "../../src/quic/proxy-master.ts";
import { late, within } from "../../src/system/within.ts";
import { freePort } from "./free-port.ts";
import type { LocalFly } from "./local-fly.ts";
import { programEnv, programPath } from "./program.ts";

/** A running `vault-proxy`, its sockets on loopback, in front of the machines of a local Fly. */
export interface LocalProxy {
  /** `host:port`, as a vault's `address`. */
  readonly address: string;
  readonly port: number;
  readonly httpPort: number;
  readonly metricsPort: number;
  readonly pid: number;
  /** Its JSON log so far. */
  readonly log: () => string;
  /** The process id of one of the two it started. */
  pidOf(part: ProxyPart): number | undefined;
  killPart(part: ProxyPart): void;
  readonly exited: Promise<number>;
  metrics(): Promise<Map<string, number>>;
  kill(signal: NodeJS.Signals): void;
  /** Ends it and waits until it is gone. */
  stop(): Promise<void>;
}

export type ProxyPart = "relay" | "web";

export interface LocalProxyOptions {
  readonly app: string;
  readonly keyFile: string;
  /** Of a proxy whose place it takes; without one a port that no other socket takes while one follows another. */
  readonly address?: string;
  readonly httpPort?: number;
  readonly argv?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** A master of its own for every test file. */
export interface ProxyKeys {
  readonly file: string;
  keyOf(machineId: string): string;
}

export async function makeProxyKeys(fly: LocalFly): Promise<ProxyKeys> {
  const master = randomBytes(32);
  const folder = await mkdtemp(join(fly.folder, "keys-"));
  const file = join(folder, "proxy.key");
  await writeFile(file, `${formatProxyMaster({ epoch: 3, master })}\n`, { mode: 0o600 });
  return {
    file,
    keyOf: (machineId) => formatAdmissionKey(deriveAdmissionKey(master, 3, machineId)),
  };
}

export async function startLocalProxy(
  fly: LocalFly,
  options: LocalProxyOptions,
): Promise<LocalProxy> {
  let log = "";
  const { argv = [] } = options;
  const words = [
    `--app=${options.app}`,
    `--key-file=${options.keyFile}`,
    `--listen=${options.address ?? `127.0.0.1:${freePort()}`}`,
    `--http=127.0.0.1:${options.httpPort ?? 0}`,
    "--metrics=127.0.0.1:0",
    ...(argv.includes("--drain-secs") ? [] : ["--drain-secs=0"]),
    ...argv,
  ];
  const child = Bun.spawn([programPath("vault-proxy"), ...words], {
    cwd: "/",
    env: programEnv({
      FLY_API_BASE: fly.apiBase,
      FLY_API_TOKEN: fly.apiToken,
      ...options.env,
    }),
    stdin: "ignore",
    stdout: "ignore",
    stderr: "pipe",
  });
  const reading = (async (): Promise<void> => {
    const decoder = new TextDecoder();
    for await (const chunk of child.stderr) log += decoder.decode(chunk, { stream: true });
  })();
  const ready = await untilReady(() => log, child.exited);
  return {
    ...ready,
    address: `127.0.0.1:${ready.port}`,
    pid: child.pid,
    log: () => log,
    pidOf: (part) => childrenOf(child.pid).get(part),
    killPart: (part) => {
      const pid = childrenOf(child.pid).get(part);
      if (pid === undefined) throw new Error(`vault-proxy has no ${part}: ${log}`);
      process.kill(pid, "SIGKILL");
    },
    exited: child.exited,
    metrics: async () => readMetrics(ready.metricsPort),
    kill: (signal) => {
      child.kill(signal);
    },
    stop: async () => {
      child.kill("SIGTERM");
      await child.exited;
      await reading;
    },
  };
}

interface Ready {
  readonly port: number;
  readonly httpPort: number;
  readonly metricsPort: number;
}

async function untilReady(log: () => string, exited: Promise<number>): Promise<Ready> {
  for (let tries = 0; tries < 1200; tries++) {
    const ready = readyIn(log());
    if (ready !== undefined) return ready;
    const code = await within(exited, 25);
    if (code !== late) throw new Error(`vault-proxy ended with ${code}: ${log()}`);
  }
  throw new Error(`vault-proxy does not become ready: ${log()}`);
}

function readyIn(log: string): Ready | undefined {
  const events = eventsIn(log);
  const relay = events.find(({ event }) => event === "relay-listening");
  const web = events.find(({ event }) => event === "web-listening");
  const listed = events.some(({ event }) => event === "directory-listed");
  if (relay === undefined || web === undefined || !listed) return undefined;
  return {
    port: portOf(relay["addresses"]),
    httpPort: portOf(web["http"]),
    metricsPort: portOf(web["metrics"]),
  };
}

/** The lines of a JSON log that are whole. */
export function eventsIn(log: string): Readonly<Record<string, unknown>>[] {
  return log
    .split("\n")
    .slice(0, -1)
    .filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line) as Readonly<Record<string, unknown>>);
}

function portOf(address: unknown): number {
  return Number(/:(\d+)$/.exec(String(address))?.[1]);
}

function childrenOf(pid: number): Map<string, number> {
  const pids = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ");
  return new Map(
    pids.map((child) => {
      const words = commandLine(child).split("\0");
      return [words[words.indexOf("proxy") + 1] ?? "", Number(child)];
    }),
  );
}

function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8");
  } catch {
    // Gone meanwhile.
    return "";
  }
}

async function readMetrics(port: number): Promise<Map<string, number>> {
  const page = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  const lines = page.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(
    lines.map((line) => {
      const at = line.lastIndexOf(" ");
      return [line.slice(0, at), Number(line.slice(at + 1))];
    }),
  );
}
