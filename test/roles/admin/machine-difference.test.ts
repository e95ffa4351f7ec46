import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { FlyMachine, FlyVolume } from "../../../src/fly/machine-shape.ts";
import { differenceLine } from "../../../src/roles/admin/difference.ts";
import { machineDifferences } from "../../../src/roles/admin/machine-difference.ts";
import { leafPaths, memberDigests } from "../../../src/roles/admin/member-digests.ts";
import type { PlannedMachine } from "../../../src/roles/admin/plan.ts";
import { recoverToken, unknownToken } from "../../../src/roles/admin/token-recovery.ts";
import { updatedConfig } from "../../../src/roles/admin/updated-config.ts";
import { seeded } from "../../support/seed.ts";

const planned = (config: Record<string, unknown>, more: object = {}): PlannedMachine => ({
  index: 1,
  vaultName: "acme",
  launchId: "run-1",
  volumes: [],
  machine: {
    config: {
      ...config,
      metadata: {
        ...Object(config["metadata"]),
        "fly_vault.tenant_id": "acme",
        "fly_vault.launch_id": "run-1",
        "fly_vault.template_keys": memberDigests(config),
      },
    },
    ...more,
  },
});

const machine = (config: unknown, more: object = {}): FlyMachine =>
  Object({ id: "148e21ea7e46e8", state: "started", config, ...more });

const lines = (wanted: PlannedMachine, actual: FlyMachine, volumes: readonly FlyVolume[] = []) =>
  machineDifferences(wanted, actual, volumes).map((each) => differenceLine(each));

/** What Fly puts into configurations by itself. */
const fliesOwn = {
  init: {},
  guest: { cpu_kind: "shared", cpus: 1, memory_mb: 256 },
  restart: { policy: "on-failure", max_retries: 10 },
  dns: {},
};

test("a machine that was just made of a template is as it wants, with what Fly fills in", () => {
  const json = fc.jsonValue({ maxDepth: 2 });
  const configs = fc.record({
    image: fc.string({ minLength: 1 }),
    env: fc.dictionary(fc.stringMatching(/^[A-Z]{1,8}$/), fc.string()),
    services: fc.array(fc.dictionary(fc.stringMatching(/^[a-z]{1,8}$/), json)),
  });
  fc.assert(
    fc.property(configs, (config) => {
      const wanted = planned(config);
      const made = machine({ ...fliesOwn, ...wanted.machine.config });
      expect(lines(wanted, made)).toEqual([]);
      // And so it is after an update to any other template.
      const other = planned({ ...config, image: "other", env: { ADDED: "1" } });
      const updated = machine({ ...fliesOwn, ...updatedConfig(other, made) });
      expect(lines(other, updated)).toEqual([]);
    }),
    seeded(200),
  );
});

const volumeOf = (size_gb: number): FlyVolume => ({
  id: "vol_1",
  state: "created",
  name: "data",
  size_gb,
});

const mounting = (mounts: object[]): PlannedMachine => ({
  ...planned({ image: "i", mounts }),
  volumes: [{ mount: 0, name: "data", region: "ord", sizeGb: 5, isTenantsName: false }],
});

describe("machineDifferences", () => {
  test("goes into tables and lists, and compares lists of other lengths as a whole", () => {
    const wanted = planned({
      image: "b",
      guest: { cpus: 2 },
      services: [{ internal_port: 80 }],
      checks: { a: { port: 1 } },
    });
    const actual = machine({
      image: "a",
      guest: { cpus: 1, memory_mb: 256 },
      services: [{ internal_port: 81 }, { internal_port: 82 }],
    });
    expect(lines(wanted, actual)).toEqual([
      '~ image: "a" -> "b"',
      "~ guest.cpus: 1 -> 2",
      '~ services: [{"internal_port":81},{"internal_port":82}] -> [{"internal_port":80}]',
      '+ checks: {"a":{"port":1}}',
    ]);
  });

  test("takes Fly's older words, and nothing for nothing", () => {
    const wanted = planned({
      image: "i",
      services: [{ autostop: "off", autostart: false }, { autostop: "stop" }],
      files: [],
      auto_destroy: false,
    });
    const actual = machine({
      image: "i",
      services: [{ autostop: false }, { autostop: true }],
    });
    expect(lines(wanted, actual)).toEqual([]);
  });

  test("removes variables, and members that an earlier template said; nothing else", () => {
    const before = planned({
      image: "i",
      env: { A: "1", VAULT_ADMISSION_KEY: "k" },
      guest: { cpus: 1, kernel_args: ["quiet"] },
      metrics: { port: 1 },
    });
    const actual = machine({
      ...fliesOwn,
      ...before.machine.config,
      metadata: { ...Object(before.machine.config["metadata"]), by_others: "x" },
    });
    const wanted = planned({ image: "i", env: {}, guest: { cpus: 1 } });
    expect(lines(wanted, actual)).toEqual([
      '- env.A: "1"',
      '- guest.kernel_args.0: "quiet"',
      '- metrics: {"port":1}',
    ]);
    const updated = updatedConfig(wanted, actual);
    expect(updated).toMatchObject({
      env: { VAULT_ADMISSION_KEY: "k" },
      metadata: { by_others: "x" },
    });
    expect(updated).not.toHaveProperty("metrics");
  });

  test("a machine of an older fly-vault-admin, which noted no keys, loses nothing unasked", () => {
    const { "fly_vault.template_keys": _, ...metadata } = Object(
      planned({}).machine.config["metadata"],
    );
    const actual = machine({ image: "i", metrics: { port: 1 }, metadata });
    expect(lines(planned({ image: "i" }), actual)).toEqual([]);
  });

  test("a host that does not answer is no machine without a configuration", () => {
    const silent = machine(null, { incomplete_config: { image: "i" } });
    expect(() => lines(planned({ image: "i" }), silent)).toThrow("does not answer");
  });

  test("regions: a list of wishes is met by any of them, an alias by whatever Fly chose", () => {
    const actual = machine({ image: "i" }, { region: "cdg" });
    for (const [region, count] of [
      ["ord,cdg", 0],
      ["eu", 0],
      ["any", 0],
      ["ord,iad", 1],
    ] as const)
      expect(lines(planned({ image: "i" }, { region }), actual).length).toBe(count);
  });

  test("volumes: shrinking is no update, growing by itself is no difference", () => {
    const mount = { path: "/data", name: "data", size_gb: 5 };
    const actual = machine({ image: "i", mounts: [{ volume: "vol_1", path: "/data" }] });
    expect(lines(mounting([mount]), actual, [volumeOf(5)])).toEqual([]);
    expect(lines(mounting([mount]), actual, [volumeOf(9)])).toEqual([
      "! mounts.0.size_gb: 9 -> 5  (a volume never shrinks)",
    ]);
    const growing = { ...mount, extend_threshold_percent: 80 };
    expect(lines(mounting([growing]), actual, [volumeOf(9)])).toEqual([]);
    expect(lines(mounting([{ ...mount, path: "/srv" }]), actual, [volumeOf(5)])).toEqual([
      '~ mounts.0.path: "/data" -> "/srv"',
    ]);
  });

  test("a tenant that gets more machines does not rename the first", () => {
    const env = { VAULT_HOSTNAME: "acme-1" };
    const wanted: PlannedMachine = { ...planned({ image: "i", env }), vaultName: "acme-1" };
    const actual = machine({ image: "i", env: { VAULT_HOSTNAME: "acme" } });
    expect(lines(wanted, actual)).toEqual([]);
    const own = machine({ image: "i", env: { VAULT_HOSTNAME: "by-template" } });
    expect(lines(wanted, own).length).toBe(1);
  });
});

const line = (keys: readonly string[], from: unknown, to: unknown) =>
  differenceLine({ keys, from, to }, ["the-secret"]);

test("differences mask what speaks of secrets, files, and the secret itself", () => {
  expect(line(["env", "API_TOKEN"], "a", "b")).toBe('~ env.API_TOKEN: "***" -> "***"');
  expect(line(["env", "URL"], "x", "y/the-secret")).toBe('~ env.URL: "***" -> "y/***"');
  expect(line(["env", "DB_PASS"], undefined, "b")).toBe('+ env.DB_PASS: "***"');
  expect(line(["processes", "0", "env", "PASSWORD"], undefined, "b")).toContain('"***"');
  expect(line(["files", "0", "raw_value"], "aa", "bb")).toBe('~ files.0.raw_value: "***" -> "***"');
  expect(line(["env"], { DB_PASSWORD: "a" }, undefined)).toBe('- env: {"DB_PASSWORD":"***"}');
});

test("a token is found wherever the template put it, whole or within other words", () => {
  const wanted = planned({
    image: "i",
    env: { A: `x:${unknownToken}:y` },
    init: { cmd: [unknownToken] },
  });
  expect(recoverToken(wanted, machine({ env: { A: "x:tok:y" } }))).toBe("tok");
  expect(recoverToken(wanted, machine({ env: { A: "other" }, init: { cmd: ["tok"] } }))).toBe(
    "tok",
  );
  expect(recoverToken(wanted, machine({ env: { ACCESS_TOKEN: "old" } }))).toBe("old");
  expect(recoverToken(wanted, machine({ env: { A: "x::y" } }))).toBeUndefined();
});

const digests = (cpus: number, more: object = {}) =>
  memberDigests({ guest: { cpus, ...more }, env: { A: "1" } });

test("digests of members say which keys there are, and nothing of their values", () => {
  expect(digests(1)).toMatch(/^guest:[0-9a-f]{8}$/);
  expect(digests(1)).toBe(digests(2));
  expect(digests(1)).not.toBe(digests(1, { memory_mb: 256 }));
  expect(leafPaths({ a: [{ b: 1 }, 2], c: {} })).toEqual(["a.0.b", "a.1"]);
});
