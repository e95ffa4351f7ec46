import type { LocalFly } from "./local-fly.ts";
import { programEnv, programPath } from "./program.ts";

/** The compiled vault-proxy before a fly-local, by a key file. */
export interface LocalProxy {
  /** host:port, the same for the next one that is given it. */
  readonly address: string;
  /** All that it logged so far. */
  readonly log: () => string;
  /** SIGTERM, and its end. */
  stop(): Promise<void>;
}

/** Listens and knows the machines when this resolves. */
export async function startLocalProxy(
  fly: LocalFly,
  options: { readonly app: string; readonly keyFile: string; readonly address?: string },
): Promise<LocalProxy> {
  const flags = {
    app: options.app,
    "key-file": options.keyFile,
    listen: options.address ?? "127.0.0.1:0",
    metrics: "off",
    "refresh-interval-secs": "1",
    "drain-secs": "0",
  };
  const words = Object.entries(flags).map(([flag, value]) => `--${flag}=${value}`);
  const child = Bun.spawn([programPath("vault-proxy"), ...words], {
    cwd: "/",
    env: programEnv({ FLY_API_BASE: fly.apiBase, FLY_API_TOKEN: fly.apiToken }),
    stdio: ["ignore", "ignore", "pipe"],
  });
  let log = "";
  const ready = Promise.withResolvers<string>();
  const follow = async (): Promise<void> => {
    const decoder = new TextDecoder();
    for await (const bytes of child.stderr) {
      log += decoder.decode(bytes, { stream: true });
      const address = /"event":"relay-listening","addresses":"([^"]+)"/.exec(log)?.[1];
      if (address !== undefined && log.includes('"directory-listed"')) ready.resolve(address);
    }
    ready.reject(new Error(`vault-proxy ended before it was ready: ${log}`));
  };
  void follow();
  return {
    address: await ready.promise,
    log: () => log,
    stop: async () => {
      child.kill("SIGTERM");
      await child.exited;
    },
  };
}
