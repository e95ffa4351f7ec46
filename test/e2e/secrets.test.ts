import { afterAll, beforeAll, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import {
  appendFileSync,
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { deriveAdmissionKey, formatAdmissionKey } from "../../src/quic/admission-key.ts";
import { programEnv, type ProgramName, programPath } from "../support/program.ts";
import { secretTraces } from "../support/secret-traces.ts";
import { app, machineId, TestVault } from "../support/test-vault.ts";

/** Words that stand nowhere else on this computer. */
const token = `fv-test-${randomBytes(20).toString("hex")}`;
const apiToken = `fo1-test-${randomBytes(20).toString("hex")}`;
const master = new Uint8Array(randomBytes(32));
const admissionKey = formatAdmissionKey(deriveAdmissionKey(master, 1, machineId));
// The secret itself may have underscores.
const admissionSecret = admissionKey.split("_").slice(3).join("_");

let vault: TestVault;
let place: string;
beforeAll(async () => {
  vault = await TestVault.open();
  vault.token = token;
  place = join(vault.folder, "things");
  mkdirSync(join(place, "run"), { recursive: true, mode: 0o700 });
  writeFileSync(join(place, "token"), `${token}\n`, { mode: 0o600 });
  // Programs that we start on the way tell what they were given.
  for (const name of ["ask-token", "code"]) {
    const path = join(place, name);
    const dump = `env > ${place}/${name}.seen; tr '\\0' ' ' < /proc/$$/cmdline >> ${place}/${name}.seen`;
    const answer = name === "ask-token" ? `cat ${place}/token` : "true";
    writeFileSync(path, `#!/bin/sh\n${dump}\nsleep 0.1\n${answer}\n`);
    chmodSync(path, 0o755);
  }
});
afterAll(async () => {
  await say(["link", "stop"], {});
  await vault.close();
});

interface Said {
  readonly code: number;
  /** Of stdout and stderr, and where else a secret was seen meanwhile. */
  readonly leaks: readonly string[];
  readonly text: string;
}

/** Runs the compiled program, and looks at every process of this computer for as long as it runs. */
async function say(
  argv: readonly string[],
  env: Readonly<Record<string, string>>,
  stdin = "",
  program: ProgramName = "fly-vault",
): Promise<Said> {
  const own = {
    ...vault.env,
    PATH: `${place}:${process.env["PATH"] ?? ""}`,
    XDG_RUNTIME_DIR: join(place, "run"),
    FLY_VAULT_NO_LINK: "",
    CI: "",
  };
  const child = Bun.spawn([programPath(program), ...argv], {
    cwd: place,
    env: programEnv({ ...own, ...env }),
    stdin: Buffer.from(stdin),
    stdout: "pipe",
    stderr: "pipe",
    timeout: 60_000,
    killSignal: "SIGKILL",
  });
  const leaks = new Set<string>();
  const over = new AbortController();
  const watching = (async () => {
    while (!over.signal.aborted) {
      for (const leak of processLeaks(child.pid)) leaks.add(leak);
      await Bun.sleep(5);
    }
  })();
  const [out, err, code] = await Promise.all([
    child.stdout.text(),
    child.stderr.text(),
    child.exited,
  ]);
  over.abort();
  await watching;
  for (const leak of tracesIn(Buffer.from(out + err))) leaks.add(`output: ${leak}`);
  return { code, leaks: [...leaks], text: out + err };
}

/**
 * What the program itself was started with stays in the kernel's view of it; that is its starter's doing. So it is
 * with a child that was forked and is not another program yet: it still shows its parent's words.
 */
function processLeaks(ownPid: number): string[] {
  const own = bytesOf(`/proc/${ownPid}/cmdline`);
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) =>
      ["cmdline", "environ"].flatMap((file) => {
        const isOurs = Number(pid) === ownPid || bytesOf(`/proc/${pid}/cmdline`).equals(own);
        if (file === "environ" && isOurs) return [];
        const bytes = bytesOf(`/proc/${pid}/${file}`);
        return tracesIn(bytes).map(
          (trace) => `${file} of ${bytesOf(`/proc/${pid}/cmdline`).toString()}: ${trace}`,
        );
      }),
    );
}

function bytesOf(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch {
    return Buffer.alloc(0);
  }
}

function tracesIn(bytes: Buffer): string[] {
  if (bytes.length === 0) return [];
  return [
    ...secretTraces(bytes, token, app),
    ...(bytes.includes(apiToken) ? ["API token"] : []),
    ...(bytes.includes(admissionSecret) ? ["admission key"] : []),
  ];
}

/** Of all files below, but those that we wrote ourselves. */
function fileLeaks(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .map((name) => join(folder, name))
    .filter((path) => path !== vault.configPath && path !== join(place, "token"))
    .filter((path) => statSync(path, { throwIfNoEntry: false })?.isFile() === true)
    .flatMap((path) => tracesIn(bytesOf(path)).map((trace) => `${path}: ${trace}`));
}

const log = (): string[] => ["-vv", "--log-file", join(place, "log")];
const chatty = (): string[] => [...log(), "dev", "--", "sh", "-c", "env; sleep 0.1"];

async function configureToken(toml: string | undefined, keys: Record<string, unknown> = {}) {
  await vault.configure({ access_token: undefined, ...keys });
  if (toml !== undefined) appendFileSync(vault.configPath, `${toml}\n`);
}

test.each<[string, () => Promise<Said>]>([
  [
    "the configuration",
    async () => {
      await configureToken(`access_token = "${token}"`);
      return say(["exec", ...chatty()], {});
    },
  ],
  [
    "a file of the configuration",
    async () => {
      await configureToken(`token = { file = "${place}/token" }`);
      return say(["exec", ...chatty()], {});
    },
  ],
  [
    "a command",
    async () => {
      await configureToken(`token = { command = ["${place}/ask-token"] }`);
      return say(["exec", "--no-link", ...chatty()], {});
    },
  ],
  [
    "a variable",
    async () => {
      await configureToken(undefined);
      return say(["exec", ...chatty()], { FLY_VAULT_TOKEN: token });
    },
  ],
  [
    "a file in a variable",
    async () => {
      await configureToken(undefined);
      return say(["exec", ...chatty()], { FLY_VAULT_TOKEN_FILE: join(place, "token") });
    },
  ],
  [
    "--token-file",
    async () => {
      await configureToken(undefined);
      return say(["exec", "--token-file", join(place, "token"), ...chatty()], {});
    },
  ],
  [
    "standard input",
    async () => {
      await configureToken(undefined);
      return say(["sessions", ...log(), "--token-file", "-", "dev"], {}, `${token}\n`);
    },
  ],
])("the token from %s is seen nowhere", async (_, run) => {
  const { code, leaks, text } = await run();
  expect([code, leaks, code === 0 ? "" : text]).toEqual([0, [], ""]);
});

test("whatever is run with the token in a variable, none of it comes out or goes on", async () => {
  await configureToken(undefined);
  const env = { FLY_VAULT_TOKEN: token };
  const commands: readonly (readonly string[])[] = [
    ["run", ...log(), "dev", "--", "true"],
    ["sessions", "dev", "--json"],
    ["status", ...log(), "dev"],
    ["verify", ...log(), "dev", "--json"],
    ["doctor", ...log(), "dev"],
    ["ping", "-c", "1", "dev"],
    ["cp", ...log(), "code", "dev:copy"],
    ["vault", "show", "dev"],
    ["config", "show", "--origin"],
    ["bundle", "dev", "-o", join(place, "bundle.tar.zst")],
    ["ssh-config", "install", "--yes"],
    ["open", "code", "dev", "/root"],
    ["exec", "--debug", "dev", "--", "sh", "-c", "exit 3"],
    ["link", "ls", "--json"],
  ];
  for (const argv of commands) {
    const { leaks } = await say(argv, env);
    expect([argv, leaks]).toEqual([argv, []]);
  }
  expect(readFileSync(join(place, "code.seen"), "utf8")).toContain("ssh-remote+dev.vault");
}, 240_000);

test("an admission key and an API token are shown by nobody either", async () => {
  await configureToken(`access_token = "${token}"`, {
    admission_key: admissionKey,
    address: "nowhere.invalid:1",
    transport: "quic",
    machine_id: undefined,
  });
  for (const argv of [
    ["vault", "show", "dev"],
    ["config", "show", "--json"],
    ["bundle", "dev", "-o", join(place, "b2.tar.zst")],
  ])
    expect([argv, (await say(argv, {})).leaks]).toEqual([argv, []]);
  const admin = { FLY_API_TOKEN: apiToken, FLY_API_BASE: "http://127.0.0.1:9", FLY_APP: "app-a" };
  for (const argv of [
    ["tenant", "list", ...log()],
    ["doctor", ...log(), "--json"],
    ["tenant", "usage-facts", "--debug"],
  ])
    expect([argv, (await say(argv, admin, "", "fly-vault-admin")).leaks]).toEqual([argv, []]);
}, 240_000);

test("what is left behind, log and bundle too, has none of them", async () => {
  expect(readFileSync(join(place, "ask-token.seen"), "utf8")).toContain("PATH=");
  for (const bundle of ["bundle.tar.zst", "b2.tar.zst"]) {
    const bytes = Buffer.from(Bun.zstdDecompressSync(readFileSync(join(place, bundle))));
    expect(bytes.length).toBeGreaterThan(1_000);
    expect(tracesIn(bytes)).toEqual([]);
  }
  expect(statSync(join(place, "log")).size).toBeGreaterThan(1_000);
  expect(fileLeaks(vault.folder)).toEqual([]);
});
