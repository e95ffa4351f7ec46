import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { Failure } from "../../../src/cli/failure.ts";
import { fillPlaceholders, PlaceholderError } from "../../../src/roles/admin/placeholder.ts";
import { planTenant } from "../../../src/roles/admin/plan.ts";
import { maskSecrets } from "../../../src/roles/admin/secret-mask.ts";
import { Template } from "../../../src/roles/admin/template.ts";
import { seeded } from "../../support/seed.ts";
import { templateText } from "./stage.ts";

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "fva-"));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const file = (text: string | Uint8Array): string => {
  const path = join(dir, "t.toml");
  writeFileSync(path, text);
  return path;
};

const plan = (text: string, variables: ReadonlyMap<string, string> = new Map()) =>
  planTenant(Template.read(file(text)), {
    tenant: "acme",
    accessToken: "fvt1_token",
    variables,
    runId: "run",
  });

function complaint(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    if (error instanceof Failure) {
      expect(error.exitCode).toBe(2);
      return error.message.replace(dir, "");
    }
    throw error;
  }
  throw new Error("No complaint");
}

test("a template becomes machines with names, token, metadata and volumes", () => {
  const text = `${templateText.replace("machine_count = 1", "machine_count = 2")}
[machine.config.metadata]
own = "kept"
[metadata]
role = "{{role}}"
`;
  const { machines, usesToken } = plan(text, new Map([["role", "tenant-vm"]]));
  expect(usesToken).toBe(true);
  expect(machines.map(({ machine }) => machine.name)).toEqual(["tenant-acme-1", "tenant-acme-2"]);
  expect(machines[1]).toMatchObject({
    index: 2,
    launchId: "run-2",
    volumes: [{ mount: 0, name: "tvol_acme_2", region: "ord", sizeGb: 1, isTenantsName: true }],
    machine: {
      region: "ord",
      config: {
        image: "registry.fly.io/vault-tenants/init:latest",
        env: { ACCESS_TOKEN: "fvt1_token", VAULT_HOSTNAME: "acme-2" },
        metadata: {
          own: "kept",
          role: "tenant-vm",
          "fly_vault.tenant_id": "acme",
          "fly_vault.managed_by": "fly-vault-admin",
          "fly_vault.template": "t.toml",
          "fly_vault.launch_id": "run-2",
        },
      },
    },
  });
});

test("the template of docs/tenants.md is one", () => {
  const text = readFileSync(new URL("../../../docs/tenants.md", import.meta.url), "utf8");
  const example = /```toml\n(.*?)```/s.exec(text)?.[1] ?? "";
  expect(plan(example)).toMatchObject({ usesToken: true, warnings: [] });
});

test("the machine is told the vault's name and, of the time to stop, how much is the workload's", () => {
  const envOf = (text: string): unknown => plan(text).machines[0]?.machine.config["env"];
  const stops = `${templateText}\n[machine.config.stop_config]\ntimeout = "30s"\n`;
  expect(envOf(templateText)).toEqual({ ACCESS_TOKEN: "fvt1_token", VAULT_HOSTNAME: "acme" });
  expect(envOf(stops)).toMatchObject({ VAULT_STOP_GRACE: "29000ms" });
  expect(envOf(stops.replace('"30s"', '"2s"'))).toMatchObject({ VAULT_STOP_GRACE: "1600ms" });
  const own = 'ACCESS_TOKEN = "x"\nVAULT_HOSTNAME = "box"\nVAULT_STOP_GRACE = "5"';
  expect(envOf(stops.replace('ACCESS_TOKEN = "{{access_token}}"', own))).toEqual({
    ACCESS_TOKEN: "x",
    VAULT_HOSTNAME: "box",
    VAULT_STOP_GRACE: "5",
  });
  const two = plan(templateText.replace("machine_count = 1", "machine_count = 2")).machines;
  expect(two.map(({ vaultName }) => vaultName)).toEqual(["acme-1", "acme-2"]);
  expect(two[1]?.machine.config["env"]).toMatchObject({ VAULT_HOSTNAME: "acme-2" });
});

test("a mount without a size gets 30 GB; one with the id of a volume makes none", () => {
  const [made] = plan(templateText.replace("size_gb = 1\n", "")).machines;
  expect(made?.volumes[0]?.sizeGb).toBe(30);
  const existing = templateText.replace(
    'name = "tvol_{{tenant_id}}_{{index}}"',
    'volume = "vol_1"',
  );
  expect(plan(existing).machines[0]?.volumes).toEqual([]);
});

const change = (from: string, to: string) => () => plan(templateText.replace(from, to));

test("every mistake names file, line and key", () => {
  const cases: readonly (readonly [() => unknown, string])[] = [
    [change("version = 1", "version = 2"), "/t.toml:1: version: "],
    [change("version = 1\n", ""), "/t.toml: version: the key is missing"],
    [change("machine_count = 1", "machine_count = 0"), "/t.toml:3: machine_count: "],
    [change("machine_count = 1", 'machine_count = "1"'), "/t.toml:3: machine_count: "],
    [change("machine_count = 1", "machine_cuont = 1"), "(did you mean machine_count?)"],
    [change('region = "ord"', 'regoin = "ord"'), "/t.toml:7: machine.regoin: unknown key (did you"],
    [change('region = "ord"', "region = 7"), "/t.toml:7: machine.region: "],
    [change('region = "ord"\n', ""), "machine.region: one region is needed"],
    [change('region = "ord"', 'region = "cdg,eu"'), "/t.toml:7: machine.region: one region"],
    [change("{{access_token}}", "{{acces_token}}"), "/t.toml:18: machine.config.env.ACCESS_TOKEN"],
    [change("{{access_token}}", "{{access_token"), '"{{" without "}}"'],
    [
      change("tvol_{{tenant_id}}", "t-vol-{{tenant_id}}"),
      "/t.toml:14: machine.config.mounts.0.name",
    ],
    [change("size_gb = 1", "size_gb = 1.5"), "/t.toml:15: machine.config.mounts.0.size_gb"],
    [change('path = "/data"\n', ""), "/t.toml:12: machine.config.mounts.0: path is missing"],
    [change("tenant-{{tenant_id}}", "tenant {{tenant_id}}"), "/t.toml:6: machine.name"],
    [change('region = "ord"', 'region = "ord'), "/t.toml:7:"],
    [change("machine_count = 1", "version = 1"), "/t.toml:3:"],
    [() => plan(""), "the key is missing"],
    [() => plan(`${templateText}\n[extra]\n`), "/t.toml:20: extra: unknown key"],
    [() => plan(`${templateText}"{{x}}" = "1"\n`), "a key cannot be filled in"],
    [() => plan(`${templateText}\n[metadata]\nn = 1\n`), "/t.toml:21: metadata.n: "],
    [() => plan(templateText, new Map([["unused", "1"]])), "--var unused is not used"],
    [() => Template.read(join(dir, "missing.toml")), "cannot be read"],
    [() => Template.read(dir), "cannot be read"],
    [() => Template.read(file(Uint8Array.of(0x61, 0xff, 0xfe))), "cannot be read"],
    [() => plan(`# ${"x".repeat(300_000)}`), "too long"],
  ];
  for (const [work, words] of cases) expect(complaint(work)).toContain(words);
  const two = templateText.replace(
    "[machine.config.env]",
    "[[machine.config.mounts]]\n[machine.config.env]",
  );
  expect(complaint(() => plan(two))).toContain("one volume only");
});

test("carriage returns and a byte order mark are no mistake", () => {
  expect(plan(`\uFEFF${templateText.replaceAll("\n", "\r\n")}`).machines.length).toBe(1);
});

describe("fillPlaceholders", () => {
  const values = new Map([
    ["a", "{{b}}"],
    ["b", "2"],
  ]);

  test("fills once: what a value brings along is not looked at again", () => {
    const used = new Set<string>();
    expect(fillPlaceholders("x{{a}}y{{ b }}{z}", values, used)).toBe("x{{b}}y2{z}");
    expect([...used]).toEqual(["a", "b"]);
    expect(() => fillPlaceholders("{{c}}", values, used)).toThrow("there are {{a}}, {{b}}");
  });

  test("gives back any text that has no braces, and otherwise fills or complains", () => {
    const word = fc.string({ unit: fc.constantFrom("{", "}", "a", "b", " ", "é") });
    fc.assert(
      fc.property(word, (text) => {
        try {
          const filled = fillPlaceholders(text, values, new Set());
          if (!text.includes("{{")) expect(filled).toBe(text);
        } catch (error) {
          expect(error).toBeInstanceOf(PlaceholderError);
          expect(text).toContain("{{");
        }
      }),
      seeded(500),
    );
  });
});

test("maskSecrets hides secret names in any env, file contents, and the token anywhere", () => {
  const value = {
    image: "i",
    env: { ACCESS_TOKEN: "a", DB_PASSWORD: "b", PORT: "8443", URL: "https://x/fvt1_tok" },
    processes: [{ env: { Api_Key: "c" } }],
    files: [{ guest_path: "/k", raw_value: "c2VjcmV0" }],
    metadata: { note: "fvt1_tok here" },
  };
  expect(maskSecrets(value, ["fvt1_tok"])).toEqual({
    image: "i",
    env: { ACCESS_TOKEN: "***", DB_PASSWORD: "***", PORT: "8443", URL: "https://x/***" },
    processes: [{ env: { Api_Key: "***" } }],
    files: [{ guest_path: "/k", raw_value: "***" }],
    metadata: { note: "*** here" },
  });
});
