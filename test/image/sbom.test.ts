import { beforeAll, expect, test } from "bun:test";
import { imageBill } from "../../build/image/image-bill.ts";
import { installedPackages } from "../../build/image/dpkg-status.ts";
import { programBill } from "../../build/image/program-bill.ts";
import type { SpdxDocument } from "../../build/release/sbom.ts";

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

const origin = {
  version: "1.2.3",
  revision: "0123abcd",
  source: "",
  createdMs: Date.UTC(2026, 0, 2, 3, 4, 5, 678),
};

let bill: SpdxDocument;
beforeAll(async () => {
  const digest = `sha256:${"ab".repeat(32)}`;
  const debian = installedPackages(status);
  bill = imageBill(
    { name: "fly-vault-init", version: "1.2.3", digest, debian },
    await programBill(origin),
  );
});

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

test("the program has in it what the bundler takes, Bun and the native library", () => {
  const names = packages().map(({ name }) => name);
  // The one is brought by a dependency of a dependency, the last is Rust's.
  for (const part of ["bun", "@matrixai/quic-linux-x64", "tweetnacl", "quiche"])
    expect(names).toContain(part);
  for (const absent of ["typescript", "cpu-features", "@matrixai/quic-darwin-universal"])
    expect(names).not.toContain(absent);
});

test("names and versions are there by the words of SPDX and of purl", () => {
  expect(bill.creationInfo.created).toBe("2026-01-02T03:04:05Z");
  expect(packages().find(({ name }) => name === "libstdc++6")).toMatchObject({
    SPDXID: "SPDXRef-deb-libstdc-x2b--x2b-6-amd64",
    versionInfo: "1:12.2.0-14+deb12u1",
    supplier: "Organization: Debian GCC Maintainers (debian-gcc@lists.debian.org)",
    externalRefs: [
      { referenceLocator: "pkg:deb/debian/libstdc%2B%2B6@1%3A12.2.0-14%2Bdeb12u1?arch=amd64" },
    ],
  });
});

test("it is whole: legal ids, each once, and nothing that hangs in the air", () => {
  const ids = packages().map((one) => one.SPDXID);
  expect(new Set(ids).size).toBe(ids.length);
  for (const id of ids) expect(id).toMatch(/^SPDXRef-[A-Za-z0-9.-]+$/);
  const known = new Set([bill.SPDXID, ...ids]);
  for (const { spdxElementId } of bill.relationships) expect(known).toContain(spdxElementId);
  const related = bill.relationships.map((one) => one.relatedSpdxElement);
  expect(related.toSorted()).toEqual(ids.toSorted());
});

function packages(): { readonly SPDXID: string; readonly name: string }[] {
  return bill.packages as { readonly SPDXID: string; readonly name: string }[];
}
