import { describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { makeArchive } from "../../build/release/archive.ts";
import { homebrewFormula } from "../../build/release/homebrew-formula.ts";
import { packagesOf, parsePackageLock, readPackageLock } from "../../build/release/package-lock.ts";
import { partsOf, platforms } from "../../build/release/platforms.ts";
import { makeProvenance } from "../../build/release/provenance.ts";
import { parseCargoLock, quicCrates } from "../../build/release/quic-crates.ts";
import { makeSbom } from "../../build/release/sbom.ts";

const integrity = `sha512-${createHash("sha512").update("x").digest("base64")}`;
const locked = (name: string) => ({ name, version: "1.0.0", integrity, license: "MIT" });
const lockOf = (...folders: readonly string[]) =>
  parsePackageLock(
    JSON.stringify({
      packages: Object.fromEntries(
        folders.map((folder) => [folder, { version: "1.0.0", integrity, license: "MIT" }]),
      ),
    }),
  );

describe("package-lock.json", () => {
  test("packagesOf finds whose file it is, in packages of packages as well", () => {
    const lock = lockOf("node_modules/a", "node_modules/@b/c", "node_modules/a/node_modules/d");
    const files = [
      "node_modules/a/x.js",
      "node_modules/a/node_modules/d/y.js",
      "../../elsewhere/node_modules/@b/c/z.js",
    ];
    expect(packagesOf(files, lock).map(({ name }) => name)).toEqual(["@b/c", "a", "d"]);
    expect(() => packagesOf(["node_modules/e/x.js"], lock)).toThrow("node_modules/e");
  });

  test("a platform without its native package, or its Bun, is told apart from one that has both", async () => {
    const [linux, arm, mac] = platforms;
    if (linux === undefined || arm === undefined || mac === undefined) throw new Error("none");
    expect(partsOf(linux, await readPackageLock())).toMatchObject({
      bun: { name: "@oven/bun-linux-x64" },
      quic: { name: "@matrixai/quic-linux-x64" },
    });
    expect(partsOf(arm, lockOf())).toEqual({ missing: expect.stringContaining("no native") });
    const bunOnly = lockOf("node_modules/@oven/bun-darwin-aarch64");
    expect(partsOf(mac, bunOnly)).toEqual({
      missing: expect.stringContaining("no @matrixai/quic-darwin-universal: npm had none"),
    });
    const both = lockOf(
      "node_modules/@oven/bun-darwin-aarch64",
      "node_modules/@matrixai/quic-darwin-universal",
    );
    expect(partsOf(mac, both)).toHaveProperty("quic");
  });
});

test("makeArchive makes the same bytes of the same files, in whatever order they come", async () => {
  const files = [
    { name: "b", bytes: Buffer.from("two"), mode: 0o755 as const },
    { name: "a", bytes: Buffer.from("one") },
  ];
  const first = await makeArchive("top", files, 1_700_000_000);
  expect(await makeArchive("top", files.toReversed(), 1_700_000_000)).toEqual(first);
  const listed = Bun.spawnSync(["tar", "-tvzf", "-"], {
    stdin: first,
    env: { TZ: "UTC", PATH: process.env["PATH"] ?? "" },
  });
  expect(listed.stdout.toString().replaceAll(/ +/g, " ")).toBe(
    "-rw-r--r-- 0/0 3 2023-11-14 22:13 top/a\n-rwxr-xr-x 0/0 3 2023-11-14 22:13 top/b\n",
  );
});

describe("the bill of materials", () => {
  const bill = {
    version: "1.2.3",
    platform: "linux-x64",
    revision: "abc",
    epochSeconds: 1_700_000_000,
    binarySha256: "0".repeat(64),
    packages: [
      locked("@matrixai/quic-linux-x64"),
      { ...locked("odd"), license: "SEE LICENSE IN X" },
    ],
    crates: [
      { name: "quiche", version: "0.18.0", checksum: "1".repeat(64) },
      { name: "quiche", version: "0.17.0", checksum: "2".repeat(64) },
    ],
    nativePackage: "@matrixai/quic-linux-x64",
  };
  interface Element {
    readonly SPDXID: string;
    readonly name: string;
    readonly licenseDeclared: string;
    readonly checksums: readonly { readonly checksumValue: string }[];
  }
  interface Sbom {
    readonly SPDXID: string;
    readonly packages: readonly Element[];
    readonly relationships: readonly {
      readonly spdxElementId: string;
      readonly relatedSpdxElement: string;
    }[];
  }
  const sbom = makeSbom(bill) as Sbom;

  test("every element has a name of its own, as SPDX allows, and is contained in another", () => {
    const ids = [sbom.SPDXID, ...sbom.packages.map(({ SPDXID }) => SPDXID)];
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids.filter((id) => !/^SPDXRef-[A-Za-z0-9.-]+$/.test(id))).toEqual([]);
    const inside = sbom.relationships.map(({ relatedSpdxElement }) => relatedSpdxElement);
    expect(inside.toSorted()).toEqual(ids.slice(1).toSorted());
    for (const { spdxElementId } of sbom.relationships) expect(ids).toContain(spdxElementId);
  });

  test("checksums are hexadecimal, times whole seconds, and a licence is one or none", () => {
    const [, native, odd] = sbom.packages;
    expect(native?.checksums[0]?.checksumValue).toBe(
      createHash("sha512").update("x").digest("hex"),
    );
    expect([native?.licenseDeclared, odd?.licenseDeclared]).toEqual(["MIT", "NOASSERTION"]);
    expect(sbom).toMatchObject({ creationInfo: { created: "2023-11-14T22:13:20Z" } });
  });

  test("the crates are those of the package that is installed", async () => {
    const names = (await quicCrates()).map(({ name }) => name);
    expect(names).toEqual(expect.arrayContaining(["quiche", "boring"]));
    expect(parseCargoLock('[[package]]\nname = "own"\nversion = "1.0.0"\n')).toEqual([]);
  });
});

test("makeProvenance says what was made of what, and no time", () => {
  const statement = makeProvenance(
    {
      repository: "https://example.com/r",
      revision: "abc",
      builder: "https://example.com/b",
      bunVersion: "1",
      version: "1.2.3",
    },
    [{ name: "archive", sha256: "0".repeat(64) }],
    [locked("@a/b")],
  );
  expect(statement).toMatchObject({
    _type: "https://in-toto.io/Statement/v1",
    subject: [{ name: "archive", digest: { sha256: "0".repeat(64) } }],
    predicate: {
      buildDefinition: {
        resolvedDependencies: [
          { uri: "git+https://example.com/r@abc", digest: { gitCommit: "abc" } },
          { uri: "pkg:npm/%40a/b@1.0.0" },
        ],
      },
      runDetails: { builder: { id: "https://example.com/b" } },
    },
  });
  expect(JSON.stringify(statement)).not.toMatch(/On":/);
});

const bottle = (platform: string, digit: string) => ({
  platform,
  archive: `fly-vault-1.2.3-${platform}.tar.gz`,
  sha256: digit.repeat(64),
});

test("homebrewFormula has a checksum for each system, and none for those that are not there", () => {
  const text = homebrewFormula("1.2.3", "https://example.com/releases", [
    bottle("linux-x64", "1"),
    bottle("darwin-arm64", "2"),
    bottle("darwin-x64", "3"),
    bottle("windows-x64", "4"),
  ]);
  const urls = [...(text ?? "").matchAll(/url "(.+)"\n +sha256 "(.)/g)].map(([, url, digit]) => [
    url?.slice("https://example.com/releases/download/v1.2.3/".length),
    digit,
  ]);
  expect(urls).toEqual([
    ["fly-vault-1.2.3-darwin-arm64.tar.gz", "2"],
    ["fly-vault-1.2.3-darwin-x64.tar.gz", "3"],
    ["fly-vault-1.2.3-linux-x64.tar.gz", "1"],
  ]);
  const opened = text?.match(/^ *(class|on_\w+ do|def|test do)/gm)?.length;
  expect(text?.match(/^ *end$/gm)?.length).toBe(opened ?? 0);
  expect(homebrewFormula("1.2.3", "x", [bottle("windows-x64", "4")])).toBeUndefined();
});
