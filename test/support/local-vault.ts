import { chmod, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { LocalFly, Tenant } from "./local-fly.ts";
import { programEnv, programPath, run, type RunOptions, type RunResult } from "./program.ts";

/** What a laptop has: a home folder with the configuration of one vault, and the program. */
export interface LocalVault {
  readonly home: string;
  readonly configFile: string;
  readonly env: Readonly<Record<string, string>>;
  /** Runs `fly-vault …` to its end. */
  client(argv: readonly string[], options?: RunOptions): Promise<RunResult>;
  /** Starts `fly-vault …` under a terminal of its own. */
  terminal(argv: readonly string[]): Terminal;
  /** Writes the configuration of the vault "dev" anew, with some keys changed. */
  configure(changes?: Readonly<Record<string, string | undefined>>): Promise<void>;
}

export interface Terminal {
  /** All that was drawn so far. */
  readonly screen: () => string;
  type(text: string): void;
  /** Waits until the screen matches; fails with the screen after 30 s. */
  expect(pattern: RegExp): Promise<string>;
  resize(columns: number, rows: number): void;
  readonly exited: Promise<number>;
  kill(signal: NodeJS.Signals): void;
}

export async function makeLocalVault(fly: LocalFly, tenant: Tenant): Promise<LocalVault> {
  const home = join(fly.folder, `home-${crypto.randomUUID()}`);
  const configFile = join(home, ".config/fly-vault/config.toml");
  await mkdir(join(home, ".config/fly-vault"), { recursive: true });
  const env = { HOME: home };
  const defaults = {
    address: tenant.address,
    org: fly.org,
    app: tenant.app,
    issuer: fly.issuer,
    machine_id: tenant.machineId,
    access_token: tenant.accessToken,
  };
  const vault: LocalVault = {
    home,
    configFile,
    env,
    client: async (argv, options = {}) =>
      run("fly-vault", argv, { ...options, env: { ...env, ...options.env } }),
    terminal: (argv) => startTerminal(argv, env),
    configure: async (changes = {}) => {
      const keys = Object.entries({ ...defaults, ...changes });
      const lines = keys.flatMap(([key, value]) =>
        value === undefined ? [] : [`${key} = ${JSON.stringify(value)}`],
      );
      await writeFile(configFile, `[vault.dev]\n${lines.join("\n")}\n`);
      await chmod(configFile, 0o600);
    },
  };
  await vault.configure();
  return vault;
}

function startTerminal(argv: readonly string[], env: Readonly<Record<string, string>>): Terminal {
  let screen = "";
  const decoder = new TextDecoder();
  const child = Bun.spawn([programPath("fly-vault"), ...argv], {
    cwd: "/",
    env: programEnv(env),
    terminal: {
      cols: 100,
      rows: 30,
      data: (_terminal, bytes) => {
        screen += decoder.decode(bytes, { stream: true });
      },
    },
  });
  return {
    screen: () => screen,
    type: (text) => {
      child.terminal?.write(text);
    },
    expect: async (pattern) => {
      for (let tries = 0; tries < 600; tries++) {
        if (pattern.test(screen)) return screen;
        await Bun.sleep(50);
      }
      throw new Error(`Not on the screen: ${pattern}\n${screen}`);
    },
    resize: (columns, rows) => child.terminal?.resize(columns, rows),
    exited: child.exited,
    kill: (signal) => {
      child.kill(signal);
    },
  };
}
