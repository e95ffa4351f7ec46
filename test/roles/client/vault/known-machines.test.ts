import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { AttestedMachine } from "../../../../src/fly/attestation.ts";
import {
  KnownMachineError,
  KnownMachines,
} from "../../../../src/roles/client/vault/known-machines.ts";
import { rejection } from "../../../support/rejection.ts";

let directory: string;
let known: KnownMachines;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "fv-known-"));
  known = new KnownMachines(directory);
});
afterEach(async () => {
  await rm(directory, { recursive: true });
});

function machine(machineId = "148e21ea7e46e8"): AttestedMachine {
  return {
    issuer: "https://oidc.fly.io/acme",
    orgId: "11",
    appId: "22",
    appName: "dev-vaults",
    machineId,
    machineName: "tenant-1",
    region: "ord",
    image: undefined,
    imageDigest: undefined,
    issuedAtMs: 0,
    expiresAtMs: 0,
  };
}

describe("KnownMachines", () => {
  test("remembers the first machine, in a file of its owner's", async () => {
    expect(await known.read("my-dev")).toBeUndefined();
    expect(await known.add("my-dev", machine(), 7)).toBe(true);
    expect(await new KnownMachines(directory).read("my-dev")).toEqual({
      issuer: "https://oidc.fly.io/acme",
      app: "dev-vaults",
      orgId: "11",
      appId: "22",
      machineId: "148e21ea7e46e8",
      firstSeenMs: 7,
    });
    expect((await stat(known.path("my-dev"))).mode & 0o777).toBe(0o600);
    expect(JSON.parse(await readFile(known.path("my-dev"), "utf8"))).toMatchObject({ version: 1 });
  });

  test("does not take a second machine for the first", async () => {
    await known.add("my-dev", machine(), 7);
    expect(await known.add("my-dev", machine(), 8)).toBe(true);
    expect(await known.add("my-dev", machine("3d8d377ce9e398"), 9)).toBe(false);
    expect((await known.read("my-dev"))?.machineId).toBe("148e21ea7e46e8");
    expect(await known.add("other", machine("3d8d377ce9e398"), 9)).toBe(true);
  });

  test("of many first uses at once, all agree on one machine", async () => {
    const ids = Array.from({ length: 20 }, (_, index) => `machine${index}`);
    const added = await Promise.all(ids.map((id) => known.add("my-dev", machine(id), 1)));
    expect(added.filter(Boolean)).toHaveLength(1);
    expect((await known.read("my-dev"))?.machineId).toBe(ids[added.indexOf(true)]);
  });

  test("replaces the record when told to", async () => {
    await known.add("my-dev", machine(), 7);
    await known.replace("my-dev", machine("3d8d377ce9e398"), 9);
    expect((await known.read("my-dev"))?.machineId).toBe("3d8d377ce9e398");
  });

  test("keeps names with slashes and dots in its folder", async () => {
    for (const name of ["../../evil", "a/b", "..", "."]) await known.add(name, machine(), 1);
    expect((await readdir(join(directory, "known-machines"))).toSorted()).toEqual([
      "..%2F..%2Fevil.json",
      "...json",
      "..json",
      "a%2Fb.json",
    ]);
    expect(await readdir(directory)).toEqual(["known-machines"]);
  });

  for (const [name, damage] of Object.entries({
    empty: (path: string) => writeFile(path, ""),
    "not JSON": (path: string) => writeFile(path, "{"),
    "of another shape": (path: string) => writeFile(path, '{"version":2}'),
    huge: (path: string) => writeFile(path, Buffer.alloc(100_000)),
    "writable by others": (path: string) => chmod(path, 0o666),
  })) {
    test(`does not trust anew because the record is ${name}`, async () => {
      await known.add("my-dev", machine(), 7);
      await damage(known.path("my-dev"));
      expect(await rejection(known.read("my-dev"))).toBeInstanceOf(KnownMachineError);
      const again = known.add("my-dev", machine("3d8d377ce9e398"), 9);
      expect(await rejection(again)).toBeInstanceOf(KnownMachineError);
    });
  }
});
