import { expect, test } from "bun:test";
import { installedPackages } from "../../build/image/dpkg-status.ts";
import { bundledFolders, packagesIn } from "../../build/image/npm-packages.ts";
import { type SpdxDocument, spdxDocument } from "../../build/image/spdx.ts";
import packageLock from "../../package-lock.json" with { type: "json" };

const status = `Package: libstdc++6
Status: install ok installed
Installed-Size: 2700
Maintainer: Debian GCC Maintainers <debian-gcc@lists.debian.org>
Architecture: amd64
Version: 1:12.2.0-14+deb12u1
Description: GNU Standard C++ Library
 Version: this is prose

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1

Package: base-files
Status: install ok installed
Installed-Size: 340
Maintainer: Santiago Vila <sanvila@debian.org>
Architecture: amd64
Version: 12.4
`;

function document(npm = packagesIn(new Set(["node_modules/jose"]), packageLock)): SpdxDocument {
  return spdxDocument({
    name: "fly-vault-init",
    version: "1.2.3",
    createdMs: Date.UTC(2026, 0, 2, 3, 4, 5, 678),
    digest: `sha256:${"ab".repeat(32)}`,
    programSha256: "cd".repeat(32),
    debian: installedPackages(status),
    npm,
  });
}

test("of dpkg's status those packages count that are installed", () => {
  expect(installedPackages(status)).toEqual([
    {
      name: "base-files",
      version: "12.4",
      architecture: "amd64",
      maintainer: "Santiago Vila <sanvila@debian.org>",
      installedKib: 340,
    },
    {
      name: "libstdc++6",
      version: "1:12.2.0-14+deb12u1",
      architecture: "amd64",
      maintainer: "Debian GCC Maintainers <debian-gcc@lists.debian.org>",
      installedKib: 2700,
    },
  ]);
});

test("what is compiled in is what the bundler took, and Bun", async () => {
  const npm = packagesIn(await bundledFolders(), packageLock);
  const names = npm.map(({ name }) => name);
  expect(names).toContain("bun");
  expect(names).toContain("@matrixai/quic-linux-x64");
  expect(names).toContain("tweetnacl"); // Brought by a dependency of a dependency.
  for (const absent of ["typescript", "cpu-features", "@matrixai/quic-darwin-universal"])
    expect(names).not.toContain(absent);
  for (const { sha512 } of npm) expect(sha512).toMatch(/^[0-9a-f]{128}$/);
  expectWhole(document(npm));
});

test("a folder that the lock file does not know is no package with an empty version", () => {
  expect(() => packagesIn(new Set(["node_modules/nobody"]), packageLock)).toThrow(
    "no node_modules/nobody",
  );
});

test("names, versions and licences are there by the words of SPDX and of purl", () => {
  const made = document();
  expectWhole(made);
  expect(made.creationInfo.created).toBe("2026-01-02T03:04:05Z");
  const of = (name: string) => made.packages.find((one) => one.name === name);
  expect(of("libstdc++6")).toMatchObject({
    versionInfo: "1:12.2.0-14+deb12u1",
    supplier: "Organization: Debian GCC Maintainers (debian-gcc@lists.debian.org)",
    externalRefs: [
      {
        referenceLocator: "pkg:deb/debian/libstdc%2B%2B6@1%3A12.2.0-14%2Bdeb12u1?arch=amd64",
      },
    ],
  });
  const jose = packageLock.packages["node_modules/jose"].version;
  expect(of("jose")).toMatchObject({
    licenseDeclared: "MIT",
    externalRefs: [{ referenceLocator: `pkg:npm/jose@${jose}` }],
  });
});

/** What SPDX asks of every document: legal ids, each once, and nothing that hangs in the air. */
function expectWhole({ packages, relationships, SPDXID }: SpdxDocument): void {
  const ids = packages.map((one) => one.SPDXID);
  expect(new Set(ids).size).toBe(ids.length);
  for (const id of ids) expect(id).toMatch(/^SPDXRef-[A-Za-z0-9.-]+$/);
  const known = new Set([SPDXID, ...ids]);
  for (const { spdxElementId } of relationships) expect(known).toContain(spdxElementId);
  expect(relationships.map((one) => one.relatedSpdxElement).toSorted()).toEqual(ids.toSorted());
}
