import { afterEach, describe, expect, test } from "bun:test";
import { parse } from "smol-toml";
import { deriveAdmissionKey, formatAdmissionKey } from "../../../src/quic/admission-key.ts";
import { parseProxyMasters } from "../../../src/quic/proxy-master.ts";
import type { Fault, FaultRule } from "./fault-proxy.ts";
import { type AdminStage, openAdminStage, templateText } from "./stage.ts";

let stage: AdminStage | undefined;
const open = async (rules: readonly FaultRule[] = []): Promise<AdminStage> => {
  stage = await openAdminStage(rules);
  return stage;
};
afterEach(async () => {
  await stage?.close();
  stage = undefined;
}, 120_000);

const keyText = `fvp1_3_${Buffer.alloc(32, 7).toString("base64url")}\n`;
const keysText = `fvp1_4_${Buffer.alloc(32, 8).toString("base64url")}\n${keyText}`;
const door = "vault.example.com:443";

const keysOf = (text: string, id: string): string =>
  parseProxyMasters(text)
    .map(({ epoch, master }) => formatAdmissionKey(deriveAdmissionKey(master, epoch, id)))
    .join(",");

const keyFile = (on: AdminStage, text = keyText): string => {
  const path = on.write("proxy.key", text);
  Bun.spawnSync(["chmod", "600", path]);
  return path;
};

const create = async (on: AdminStage, ...words: readonly string[]) =>
  on.admin("tenant", "create", "acme", "--template", on.template, ...words);
const behind = async (on: AdminStage, ...words: readonly string[]) =>
  create(on, "--proxy", door, "--key-file", keyFile(on), ...words);

test("the machine gets its key before it ever runs, and the entry leads to the proxy", async () => {
  const on = await open();
  const { exitCode, out, err } = await behind(on);
  expect([exitCode, err.includes("its admission key")]).toEqual([0, true]);
  const [machine] = await on.machines();
  const key = keysOf(keyText, machine?.id ?? "");
  expect(machine).toMatchObject({
    state: "started",
    config: { env: { VAULT_ADMISSION_KEY: key } },
  });
  expect(machine?.events.map(({ type, status }) => `${type} ${status}`)).toEqual([
    "start started",
    "start starting",
    "update replacing",
    "launch created",
  ]);
  expect(JSON.stringify(machine?.config.metadata)).not.toContain("fva1_");
  expect(err).not.toContain("fva1_");
  const { vault } = parse(out) as { vault: Record<string, Record<string, string>> };
  expect(vault["acme"]).toMatchObject({
    address: door,
    machine_id: machine?.id ?? "",
    admission_key: key,
    access_token: machine?.config.env["ACCESS_TOKEN"] ?? "",
  });
  expect(on.proxy.calls.filter((call) => call.startsWith("POST"))).toEqual([
    "POST /volumes",
    "POST /machines",
    "POST /machines/*",
    "POST /machines/*/start",
  ]);
});

test("while two masters are live the machine has both keys and the client the newest", async () => {
  const on = await open();
  const file = keyFile(on, keysText);
  const { out } = await create(on, "--proxy", door, "--key-file", file, "--json");
  const [machine] = await on.machines();
  const id = machine?.id ?? "";
  expect(machine?.config.env["VAULT_ADMISSION_KEY"]).toBe(keysOf(keysText, id));
  expect(JSON.parse(out).data).toMatchObject([
    { address: door, admission_key: keysOf(keysText, id).split(",")[0] },
  ]);
});

test("without --proxy there is no key, and --json says so", async () => {
  const on = await open();
  const { out } = await create(on, "--json");
  expect(JSON.parse(out).data).toMatchObject([{ admission_key: null }]);
  expect((await on.machines())[0]?.config.env).not.toHaveProperty("VAULT_ADMISSION_KEY");
  expect(on.proxy.calls).not.toContain("POST /machines/*");
});

test("each of several machines has a key of its own; skip_launch of the template is kept", async () => {
  const on = await open();
  const text = templateText
    .replace("machine_count = 1", "machine_count = 2")
    .replace("[machine]", "[machine]\nskip_launch = true\nlease_ttl = 600");
  const template = on.write("two.toml", text);
  const words = ["--template", template, "--proxy", door, "--key-file", keyFile(on)];
  const { exitCode, out } = await on.admin("tenant", "create", "acme", ...words);
  expect(exitCode).toBe(0);
  const machines = await on.machines();
  expect(machines.map(({ state }) => state)).toEqual(["created", "created"]);
  for (const { id, config } of machines)
    expect(config.env["VAULT_ADMISSION_KEY"]).toBe(keysOf(keyText, id));
  expect(Object.keys((parse(out) as { vault: object }).vault)).toEqual(["acme-1", "acme-2"]);
  expect(on.proxy.calls.filter((call) => call === "DELETE /machines/*/lease").length).toBe(2);
});

describe("a step that was done although it failed is not done twice", () => {
  for (const fault of ["done-but-500", "answer-lost"] as const) {
    for (const on of ["POST /machines", "POST /machines/*", "POST /machines/*/start"]) {
      test(`${on}: ${fault}`, async () => {
        const at = await open([{ on, nth: 1, fault }]);
        expect((await behind(at)).exitCode).toBe(0);
        const [machine, ...others] = await at.machines();
        expect([machine?.state, others]).toEqual(["started", []]);
        const key = keysOf(keyText, machine?.id ?? "");
        expect(machine?.config.env["VAULT_ADMISSION_KEY"]).toBe(key);
        if (on === "POST /machines/*")
          expect(at.proxy.calls.filter((call) => call === on).length).toBe(1);
      }, 120_000);
    }
  }
});

describe("a step that fails takes everything back", () => {
  const faults: readonly (readonly [string, Fault, number])[] = [
    ["POST /machines/*", "403", 4],
    ["POST /machines/*/start", "403", 4],
  ];
  for (const [on, fault, exitCode] of faults) {
    test(`${on}: ${fault}`, async () => {
      const at = await open([{ on, fault }]);
      const result = await behind(at);
      expect([result.exitCode, result.out]).toEqual([exitCode, ""]);
      expect([await at.machines(), await at.volumes()]).toEqual([[], []]);
    }, 120_000);
  }
});

test("a machine that is not ready to start yet is asked again", async () => {
  const at = await open([
    { on: "POST /machines/*", nth: 1, fault: "409" },
    { on: "POST /machines/*/start", nth: 1, fault: "409" },
  ]);
  expect((await behind(at)).exitCode).toBe(0);
  expect(at.proxy.calls.filter((call) => call.endsWith("/start")).length).toBe(2);
}, 120_000);

test("--dry-run shows what would be sent, and no key; list masks it", async () => {
  const on = await open();
  const dry = await behind(on, "--dry-run");
  expect(dry.exitCode).toBe(0);
  expect(JSON.parse(dry.out)).toMatchObject([{ skip_launch: true }]);
  expect(dry.err).toContain("VAULT_ADMISSION_KEY");
  expect(on.proxy.calls).toEqual([]);
  await behind(on);
  const listed = await on.admin("tenant", "list", "--json");
  expect(listed.out).not.toContain("fva1_");
  expect(JSON.parse(listed.out)[0].machines[0].config.env.VAULT_ADMISSION_KEY).toBe("***");
});

test("wrong words: exit 2, a reason, and nothing sent", async () => {
  const on = await open();
  const file = keyFile(on);
  const own = on.write(
    "own.toml",
    templateText.replace("ACCESS_TOKEN", 'VAULT_ADMISSION_KEY = "x"\nACCESS_TOKEN'),
  );
  const cases: readonly (readonly [readonly string[], string])[] = [
    [["--proxy", door], "--proxy needs --key-file"],
    [["--key-file", file], "--key-file needs --proxy"],
    [["--proxy", "vault.example.com", "--key-file", file], "HOST:PORT"],
    [["--proxy", "vault.example.com:0", "--key-file", file], "HOST:PORT"],
    [["--proxy", "a b:443", "--key-file", file], "HOST:PORT"],
    [["--proxy", door, "--key-file", `${file}2`], "no such file"],
    [["--proxy", door, "--key-file", file, "--template", own], "is made for each machine"],
  ];
  for (const [words, message] of cases) {
    const { exitCode, err } = await create(on, ...words);
    expect([words, exitCode]).toEqual([words, 2]);
    expect(err).toContain(message);
  }
  expect(on.proxy.calls).toEqual([]);
});

test("an apply keeps the admission key, and makes no machine without one beside it", async () => {
  const on = await open();
  await behind(on);
  const [before] = await on.machines();
  const key = before?.config.env["VAULT_ADMISSION_KEY"];
  const changed = on.write("t.toml", `${templateText}LEVEL = "debug"\n`);
  const applied = await on.admin("tenant", "apply", "acme", "-f", changed);
  expect([applied.exitCode, applied.err.includes("fva1_")]).toEqual([0, false]);
  const [after] = await on.machines();
  expect(after?.config.env).toEqual({ ...before?.config.env, LEVEL: "debug" });
  expect(key).toBe(keysOf(keyText, after?.id ?? ""));
  const two = on.write("two.toml", templateText.replace("machine_count = 1", "machine_count = 2"));
  const keyless = await on.admin("tenant", "apply", "acme", "-f", two);
  expect([keyless.exitCode, keyless.err.includes("has admission keys")]).toEqual([2, true]);
  expect((await on.machines()).length).toBe(1);
  const words = ["--proxy", door, "--key-file", keyFile(on)];
  expect((await on.admin("tenant", "apply", "acme", "-f", two, ...words)).exitCode).toBe(0);
  for (const { id, state, config } of await on.machines())
    expect([state, config.env["VAULT_ADMISSION_KEY"]]).toEqual(["started", keysOf(keyText, id)]);
});
