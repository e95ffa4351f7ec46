import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { deriveAdmissionKey, formatAdmissionKey } from "../../../../src/quic/admission-key.ts";
import { TestMachine } from "../../init/machine.ts";
import { runClient } from "../../../support/client-process.ts";
import { bridgeDoor } from "../../../support/door-bridge.ts";
import { LoginStage, weakToken } from "../../../support/login-stage.ts";
import { sessionContract } from "../../../support/session-contract.ts";
import { WebProcess } from "../../../support/web-process.ts";

setDefaultTimeout(120_000);

/** The client, by TCP alone, through a real web process to a real init with an admission key. */
const key = deriveAdmissionKey(new Uint8Array(randomBytes(32)), 3, "148e21ea7e46e8");
let home: string;
let stage: LoginStage;
let machine: TestMachine;
let api: Bun.Server<undefined>;
let web: WebProcess;
let door: AsyncDisposable;

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "fv-web-"));
  stage = await LoginStage.open();
  machine = new TestMachine({
    env: {
      FLY_APP_NAME: "dev-vaults",
      ACCESS_TOKEN: weakToken,
      VAULT_ADMISSION_KEY: formatAdmissionKey(key),
    },
  });
  api = Bun.serve({
    unix: join(machine.folder, "api"),
    fetch: async (incoming) => {
      const { aud } = (await incoming.json()) as { aud: string };
      return new Response(stage.issuer.sign(aud, {}));
    },
  });
  await machine.start();
  await machine.untilLogged('"event":"listening"');
  web = await WebProcess.listening();
  const [host = "", port = ""] = readFileSync(join(machine.runDir, "listening"), "utf8")
    .trim()
    .split(":");
  door = bridgeDoor(web, { host, port: Number(port) });
  const keys = {
    // Nobody listens there: UDP is no way to this machine.
    address: "127.0.0.1:9",
    web_address: web.webSocketUrl,
    transport: "tcp",
    org: "acme",
    app: "dev-vaults",
    machine_id: key.machineId,
    admission_key: formatAdmissionKey(key),
    access_token: weakToken,
    issuer: stage.issuer.url("acme"),
  };
  const lines = Object.entries(keys).map(([name, value]) => `${name} = ${JSON.stringify(value)}`);
  await writeFile(join(home, "config.toml"), `[vault.dev]\n${lines.join("\n")}\n`, { mode: 0o600 });
});

afterAll(async () => {
  await door[Symbol.asyncDispose]();
  await web[Symbol.asyncDispose]();
  await machine[Symbol.asyncDispose]();
  await api.stop(true);
  await stage.close();
  await rm(home, { recursive: true });
});

const env = () => ({
  FLY_VAULT_CONFIG: join(home, "config.toml"),
  FLY_VAULT_HOME: home,
  HOME: home,
  PATH: process.env["PATH"] ?? "",
  TERM: "xterm-256color",
});

sessionContract("sessions over a WebSocket", env);

test("all of it went that way, and none was refused or lost there", async () => {
  const { code } = await runClient(["exec", "-q", "dev", "cat"], env(), new Uint8Array(4 << 20));
  expect(code).toBe(0);
  await web.until(() => (web.newestCounters["web_datagrams_in"] ?? 0) > 1000);
  expect(web.newestCounters).toMatchObject({
    web_dropped_door: 0,
    web_dropped_buffered: 0,
    web_closed_misuse: 0,
    web_closed_unadmitted: 0,
  });
});
