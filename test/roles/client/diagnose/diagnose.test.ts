import { afterAll, beforeAll, beforeEach, expect, test } from "bun:test";
import { readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import * as v from "valibot";
import { vaultStatusSchema } from "../../../../src/roles/client/diagnose/status-json.ts";
import { RemoteError } from "../../../../src/protocol/errors.ts";
import { testToken, TestVault } from "../../../support/test-vault.ts";
import { config, say, writeConfig } from "../vault/vault-stage.ts";

let vault: TestVault;
beforeAll(async () => {
  vault = await TestVault.open();
});
beforeEach(async () => {
  await vault.configure({});
  vault.onRequest = undefined;
  vault.poweredOff = false;
  vault.report = { ...vault.report, sessions_running: 0, clock_ms: Date.now() };
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
    expect(part.ms).toBeLessThan(5000);
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
    "login",
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
  vault.report = { ...vault.report, disk: { total_bytes: 10, available_bytes: 5 } };
  expect(out).toMatch(/^! clocks: ours is 10 m 0\d s ahead/m);
  expect(out).toMatch(/^✗ disk: .*99% used/m);
  expect(out).toMatch(/^! root filesystem: went back by itself: its init ended/m);
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

test("a bundle has what helps and no secret; nothing is overwritten", async () => {
  await writeConfig(vault, `# seen by me\n${await config(vault)}`);
  const path = join(vault.folder, "b.tar.zst");
  const { code, out, err } = await say(vault, ["bundle", "-o", path]);
  expect(code).toBe(0);
  expect(out).toBe(`${path}\n`);
  expect(err).toMatch(/config\.toml .*\n[\s\S]*1 secret taken out/);
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  const text = new TextDecoder().decode(Bun.zstdDecompressSync(await Bun.file(path).bytes()));
  expect(text).not.toContain(testToken);
  expect(text).toContain("# seen by me");
  expect(text).toContain("✓ login");
  expect((await say(vault, ["bundle", "-o", path])).code).toBe(1);
  await rm(path);
  expect((await readdir(vault.folder)).filter((name) => name.endsWith(".tmp"))).toEqual([]);
});
