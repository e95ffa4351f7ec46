import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { mkdtemp, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { deriveAdmissionKey, formatAdmissionKey } from "../../src/quic/admission-key.ts";
import { formatProxyMaster } from "../../src/quic/proxy-master.ts";
import type { LocalFly, Tenant } from "./local-fly.ts";
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
  /** The processes that it started, by their first word after "proxy". */
  readonly children: () => Readonly<Record<string, number>>;
  readonly exited: Promise<number>;
  metrics(): Promise<Map<string, number>>;
  kill(signal: NodeJS.Signals): void;
  /** Ends it and waits until it is gone. */
  stop(): Promise<void>;
}

export interface LocalProxyOptions {
  /** Makes a proxy take the place of another one; 0 for any. */
  readonly port?: number;
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
  tenant: Pick<Tenant, "app">,
  keys: ProxyKeys,
  options: LocalProxyOptions = {},
): Promise<LocalProxy> {
  let log = "";
  const words = [
    ...["--listen", "127.0.0.1", "--port", String(options.port ?? 0), "--backend-port", "8443"],
    ...["--http", "127.0.0.1:0", "--metrics", "127.0.0.1:0", "--key-file", keys.file],
    ...(options.argv ?? []),
  ];
  const child = Bun.spawn([programPath("vault-proxy"), ...words], {
    cwd: "/",
    env: programEnv({
      FLY_API_BASE: fly.apiBase,
      FLY_API_TOKEN: fly.apiToken,
      FLY_APP: tenant.app,
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
    children: () => childrenOf(child.pid),
    exited: child.exited,
    metrics: async () => readMetrics(ready.metricsPort),
    kill: (signal) => {
      child.kill(signal);
    },
    stop: async () => {
      // The second one insists: nobody is waited for.
      for (const _ of [1, 2]) child.kill("SIGTERM");
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
  let code: number | undefined;
  void exited.then((value) => {
    code = value;
  });
  for (let tries = 0; tries < 400; tries++) {
    const ready = readyIn(log());
    if (ready !== undefined) return ready;
    if (code !== undefined) throw new Error(`vault-proxy ended with ${code}: ${log()}`);
    await Bun.sleep(25);
  }
  throw new Error(`vault-proxy does not become ready: ${log()}`);
}

function readyIn(log: string): Ready | undefined {
  const events = eventsIn(log);
  const relay = events.find(({ event }) => event === "relay-listening");
  const web = events.find(({ event }) => event === "web-listening");
  if (relay === undefined || web === undefined) return undefined;
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

function childrenOf(pid: number): Record<string, number> {
  const pids = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ");
  return Object.fromEntries(
    pids.map((child) => {
      const words = readFileSync(`/proc/${child}/cmdline`, "utf8").split("\0");
      return [words[words.indexOf("proxy") + 1] ?? "", Number(child)];
    }),
  );
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
