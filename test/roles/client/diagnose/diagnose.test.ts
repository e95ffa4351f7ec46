import { afterAll, beforeAll, beforeEach, expect, test } from "bun:test";
import { readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import * as v from "valibot";
import { tooNarrow, unreachable } from "../../../../src/roles/client/diagnose/own-network.ts";
import { vaultStatusSchema } from "../../../../src/roles/client/diagnose/status-json.ts";
import { RemoteError } from "../../../../src/protocol/errors.ts";
import { testToken, TestVault } from "../../../support/test-vault.ts";
import { config, say, writeConfig } from "../vault/vault-stage.ts";

let vault: TestVault;
let report: TestVault["report"];
beforeAll(async () => {
  vault = await TestVault.open();
  ({ report } = vault);
});
beforeEach(async () => {
  await vault.configure({});
  vault.onRequest = undefined;
  vault.poweredOff = false;
  vault.report = { ...report, clock_ms: Date.now() };
});
afterAll(async () => {
  await vault.close();
});

const lines = (text: string) =>
  text
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));

test("status says how the machine is, to people and as its schema says", async () => {
  const { code, out } = await say(vault, ["status", "dev"]);
  expect(code).toBe(0);
  expect(out).toContain("  machine     148e21ea7e46e8 ord\n");
  expect(out).toContain("  disk        4.0 GiB of 10.0 GiB free (60% used)\n");
  expect(out).not.toContain("idle");
  vault.report = { ...vault.report, idle: { stop_after_ms: 1_800_000, idle_ms: 600_000 } };
  const { out: timed } = await say(vault, ["status", "dev"]);
  expect(timed).toContain(
    "  idle timer  stops in 20 m 00 s, unless it is used (30 m 00 s in all)\n",
  );
  const json = await say(vault, ["status", "--json"]);
  const { data } = v.parse(vaultStatusSchema, JSON.parse(json.out));
  expect(data.uptime_ms).toBe(vault.report.uptime_ms);
  expect(data.idle).toEqual({ stop_after_ms: 1_800_000, idle_ms: 600_000 });
});

test("a machine that is too old to say is told so, with what to do", async () => {
  vault.onRequest = ({ type }) =>
    type === "report" ? new RemoteError("unsupported", "not known") : undefined;
  const { code, err } = await say(vault, ["status"]);
  expect(code).toBe(9);
  expect(err).toContain("FV-VER-001");
  const doctor = await say(vault, ["doctor"]);
  expect(doctor.code).toBe(0);
  expect(doctor.out).toContain("- disk: the machine is too old to say");
});

test("ping counts what it asked", async () => {
  const { code, out } = await say(vault, ["ping", "-c", "3", "--interval", "1ms"]);
  expect(code).toBe(0);
  expect(out.match(/^pong [\d.]+ ms from 148e21ea7e46e8 \(ord\), network/gm)).toHaveLength(3);
  expect(out).toContain("3 of 3 answered");
  const json = lines((await say(vault, ["ping", "-c", "2", "--json"])).out);
  expect(json.map(({ type }) => type)).toEqual(["pong", "pong", "result"]);
});

test.each(["--count=0", "--count=x", "--count=10001", "--interval=soon"])(
  "ping %s is a mistake",
  async (word) => {
    expect((await say(vault, ["ping", word])).code).toBe(2);
  },
);

test("speedtest moves bytes both ways and asks meanwhile", async () => {
  const { code, out } = await say(vault, ["speedtest", "--duration", "200ms", "--json"]);
  expect(code).toBe(0);
  const { schema, data } = JSON.parse(out);
  expect(schema).toBe("fly-vault/speedtest");
  for (const part of [data.down, data.up]) {
    expect(part.bytes).toBeGreaterThan(0);
    expect(part.bytes % 65_536).toBe(0);
    expect(part.ms).toBeGreaterThanOrEqual(0);
    expect(part.round_trip_ms).toBeGreaterThan(0);
  }
});

test.each(["50ms", "31s", "long"])("speedtest --duration %s is a mistake", async (duration) => {
  expect((await say(vault, ["speedtest", "--duration", duration])).code).toBe(2);
});

test("stop switches off, and asks first where sessions run", async () => {
  vault.report = { ...vault.report, sessions_running: 2 };
  const refused = await say(vault, ["stop"]);
  expect(refused.code).toBe(2);
  expect(refused.err).toContain("--yes");
  expect(vault.poweredOff).toBe(false);
  expect((await say(vault, ["stop", "--yes"])).code).toBe(0);
  expect(vault.poweredOff).toBe(true);
});

test("stop --wait is over once the link has ended, and does not dial again", async () => {
  vault.poweredOff = false;
  vault.forgetConnections();
  const stopping = say(vault, ["stop", "--wait"]);
  while (!vault.poweredOff) await Bun.sleep(5);
  await Bun.sleep(50);
  const logins = vault.remotePorts.length;
  expect(logins).toBe(1);
  await vault.restartLink();
  const { code, err } = await stopping;
  expect(code).toBe(0);
  expect(err).toContain('"dev" is going down\n"dev" is down\n');
  await Bun.sleep(100);
  expect(vault.remotePorts).toEqual([]);
});

test("wake is over once the machine answers", async () => {
  const { code, err } = await say(vault, ["wake"]);
  expect(code).toBe(0);
  expect(err).toMatch(/^"dev" is up: machine 148e21ea7e46e8 in ord, [\d.]+ s$/m);
});

test("doctor finds nothing wrong where nothing is", async () => {
  const { code, out } = await say(vault, ["doctor", "--json"]);
  expect(code).toBe(0);
  const found = lines(out);
  expect(found.filter(({ status }) => status === "failed")).toEqual([]);
  expect(found.map(({ name }) => name).slice(0, -1)).toEqual([
    "program",
    "configuration",
    "folders",
    "network",
    "token",
    "dns:dev",
    "udp:dev",
    "attestation",
    "signing-keys",
    "login",
    "background-link",
    "clock",
    "version",
    "rootfs",
    "disk",
  ]);
});

const troubles: readonly (readonly [string, Record<string, unknown>, string, RegExp])[] = [
  ["another token", { access_token: "another horse battery staple" }, "login", /FV-AUTH-001/],
  ["another organisation", { org: "umbrella" }, "attestation", /FV-ATT-00/],
  ["a name that is none", { address: "vault.invalid:443" }, "dns:dev", /vault\.invalid/],
  ["a port where nobody answers", { address: "127.0.0.1:9" }, "udp:dev", /FV-NET-002/],
];

test.each(troubles)(
  "doctor names %s, and what to do",
  async (_, keys, name, detail) => {
    await vault.configure(keys);
    const { code, out } = await say(vault, ["doctor", "--json"]);
    expect(code).toBe(1);
    const failed = lines(out).find((line) => line.status === "failed");
    expect(failed.name).toBe(name);
    expect(failed.detail).toMatch(detail);
    expect(failed.fix).toBeString();
  },
  20_000,
);

test("doctor tells of a clock that is off, a disk that is full and a way back", async () => {
  const disk = { total_bytes: 1000, available_bytes: 10 };
  vault.report = { ...vault.report, clock_ms: Date.now() - 600_000, disk };
  vault.rolledBack = { because: "its init ended" };
  const { out } = await say(vault, ["doctor"]);
  vault.rolledBack = undefined;
  expect(out).toMatch(/^! clocks: ours is 10 m 0\d s ahead/m);
  expect(out).toMatch(/^✗ disk: .*99% used/m);
  expect(out).toMatch(/^! root filesystem: went back by itself: its init ended/m);
});

test("doctor says which side is older, how old the keys are, and what runs in the background", async () => {
  await say(vault, ["verify"]);
  const { out } = await say(vault, ["doctor"]);
  expect(out).toMatch(/^✓ signing keys: of http\S+, \d+ known, asked for [\d.]+ m?s ago/m);
  expect(out).toMatch(/^- background link: none/m);
  const { initVersion } = vault;
  vault.initVersion = "0.0.1";
  const older = await say(vault, ["doctor"]);
  vault.initVersion = "99.0.0";
  const newer = await say(vault, ["doctor"]);
  vault.initVersion = initVersion;
  expect(older.out).toMatch(/^! versions: .*\n {2}fix: the machine is older/m);
  expect(newer.out).toMatch(/^! versions: .*\n {2}fix: this program is older/m);
});

test("addresses that this computer cannot send to, and interfaces that carry too little, are told", () => {
  expect(unreachable(["192.0.2.1"], { IPv4: 0, IPv6: 1 })).toContain("only IPv4");
  expect(unreachable(["2001:db8::1"], { IPv4: 1, IPv6: 0 })).toContain("only IPv6");
  expect(unreachable(["2001:db8::1", "192.0.2.1"], { IPv4: 1, IPv6: 0 })).toBeUndefined();
  expect(unreachable(["127.0.0.1"], { IPv4: 0, IPv6: 0 })).toBeUndefined();
  expect(
    tooNarrow([
      { name: "wg0", mtu: 1200 },
      { name: "eth0", mtu: 1500 },
    ]),
  ).toEqual(["wg0 (1200)"]);
  expect(tooNarrow([{ name: "wg0", mtu: 1280 }])).toEqual([]);
});

test("doctor and netcheck help before there is any configuration", async () => {
  const env = { FLY_VAULT_CONFIG: join(vault.folder, "none.toml") };
  const doctor = await say(vault, ["doctor"], { env });
  expect(doctor.code).toBe(1);
  expect(doctor.out).toContain("✗ configuration: there is no configuration file");
  const netcheck = await say(vault, ["netcheck"], { env });
  expect(netcheck.code).toBe(0);
  expect(netcheck.out).toContain("this computer");
});

test("netcheck needs no token, and says what follows", async () => {
  await vault.configure({ access_token: undefined });
  const { code, out } = await say(vault, ["netcheck"]);
  expect(code).toBe(0);
  expect(out).toMatch(/over UDP: answered in \d+ ms, so commands go over it/);
});

test("a bundle has no secret of the environment, nor of a configuration that is broken", async () => {
  const whole = await config(vault);
  const path = join(vault.folder, "c.tar.zst");
  const secrets = ["bearer-secret", "proxy-secret", "short-secret"];
  const env = {
    FLY_VAULT_BEARER_TOKEN: "bearer-secret",
    FLY_VAULT_PROXY_KEY: "proxy-secret",
    FLY_VAULT_TOKEN_FILE: "/some/where",
  };
  await writeConfig(vault, `${whole}\n"access_token" = "short-secret" broken\n`);
  await say(vault, ["bundle", "-o", path], { env });
  await writeConfig(vault, whole);
  const text = textOf(await Bun.file(path).bytes());
  await rm(path);
  for (const secret of secrets) expect(text).not.toContain(secret);
  expect(text).toContain("FLY_VAULT_PROXY_KEY=[set]");
  expect(text).toContain("FLY_VAULT_TOKEN_FILE=/some/where");
});

test("a bundle has what helps and no secret; nothing is overwritten", async () => {
  await writeConfig(vault, `# seen by me\n${await config(vault)}`);
  const path = join(vault.folder, "b.tar.zst");
  const { code, out, err } = await say(vault, ["bundle", "-o", path]);
  expect(code).toBe(0);
  expect(out).toBe(`${path}\n`);
  expect(err).toMatch(/config\.toml .*\n[\s\S]*1 secret taken out/);
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  const text = textOf(await Bun.file(path).bytes());
  expect(text).not.toContain(testToken);
  expect(text).toContain("# seen by me");
  expect(text).toContain("✓ login");
  expect((await say(vault, ["bundle", "-o", path])).code).toBe(1);
  await rm(path);
  expect((await readdir(vault.folder)).filter((name) => name.endsWith(".tmp"))).toEqual([]);
});

/** Without the zeros between the files. */
function textOf(archive: Uint8Array): string {
  return new TextDecoder().decode(Bun.zstdDecompressSync(archive)).replaceAll(/\0+/g, "\n");
}
