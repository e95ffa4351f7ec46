import type { LockedPackage } from "./package-lock.ts";
import type { Crate } from "./quic-crates.ts";

export interface Bill {
  readonly version: string;
  readonly platform: string;
  readonly revision: string;
  readonly epochSeconds: number;
  readonly binarySha256: string;
  /** Of npm, really compiled in: Bun, and the native half of the QUIC library, among them. */
  readonly packages: readonly LockedPackage[];
  readonly crates: readonly Crate[];
  /** The npm package that has the crates in it. */
  readonly nativePackage: string;
}

/** An SPDX 2.3 document as JSON. */
export interface SpdxDocument {
  readonly spdxVersion: string;
  readonly dataLicense: string;
  readonly SPDXID: string;
  readonly name: string;
  readonly documentNamespace: string;
  readonly creationInfo: { readonly created: string; readonly creators: readonly string[] };
  readonly packages: readonly object[];
  readonly relationships: readonly SpdxRelationship[];
}

interface SpdxRelationship {
  readonly spdxElementId: string;
  readonly relationshipType: string;
  readonly relatedSpdxElement: string;
}

/** What an executable is made of. */
export function makeSbom(bill: Bill): SpdxDocument {
  const { version, platform, packages, crates } = bill;
  const name = `fly-vault-${version}-${platform}`;
  return {
    spdxVersion: "SPDX-2.3",
    dataLicense: "CC0-1.0",
    SPDXID: "SPDXRef-DOCUMENT",
    name,
    documentNamespace: `https://github.com/fly-vault/fly-vault/spdx/${name}-${bill.revision}`,
    creationInfo: {
      created: new Date(bill.epochSeconds * 1000).toISOString().replace(/\.\d+Z$/, "Z"),
      creators: ["Tool: fly-vault-make-release"],
    },
    packages: [ownPackage(bill), ...packages.map(npmPackage), ...crates.map(cratePackage)],
    relationships: [
      {
        spdxElementId: "SPDXRef-DOCUMENT",
        relationshipType: "DESCRIBES",
        relatedSpdxElement: ownId,
      },
      ...packages.map((each) => contains(ownId, npmId(each))),
      ...crates.map((each) => contains(idOf("npm", bill.nativePackage), crateId(each))),
    ],
  };
}

function ownPackage({ version, platform, binarySha256 }: Bill): object {
  return {
    SPDXID: ownId,
    name: "fly-vault",
    versionInfo: version,
    packageFileName: `fly-vault-${version}-${platform}/fly-vault`,
    downloadLocation: "NOASSERTION",
    filesAnalyzed: false,
    checksums: [{ algorithm: "SHA256", checksumValue: binarySha256 }],
    licenseConcluded: "MIT",
    licenseDeclared: "MIT",
    copyrightText: "NOASSERTION",
    primaryPackagePurpose: "APPLICATION",
  };
}

function npmPackage(locked: LockedPackage): object {
  const { name, version, integrity, license } = locked;
  const base = name.slice(name.indexOf("/") + 1);
  const [algorithm = "", digest = ""] = integrity.split("-");
  return {
    SPDXID: npmId(locked),
    name,
    versionInfo: version,
    downloadLocation: `https://registry.npmjs.org/${name}/-/${base}-${version}.tgz`,
    filesAnalyzed: false,
    checksums: [
      {
        algorithm: algorithm.toUpperCase(),
        checksumValue: Buffer.from(digest, "base64").toString("hex"),
      },
    ],
    ...licensed(license),
    externalRefs: [purl(`pkg:npm/${name.replace("@", "%40")}@${version}`)],
  };
}

function cratePackage(crate: Crate): object {
  const { name, version, checksum } = crate;
  return {
    SPDXID: crateId(crate),
    name,
    versionInfo: version,
    downloadLocation: `https://crates.io/api/v1/crates/${name}/${version}/download`,
    filesAnalyzed: false,
    checksums: [{ algorithm: "SHA256", checksumValue: checksum }],
    ...licensed(undefined),
    externalRefs: [purl(`pkg:cargo/${name}@${version}`)],
  };
}

/** What the lock file says is a licence of SPDX's list, or is not said at all. */
function licensed(license: string | undefined): object {
  const isKnown = license !== undefined && /^[\w.+-]+(?: (?:OR|AND) [\w.+-]+)*$/.test(license);
  return {
    licenseConcluded: "NOASSERTION",
    licenseDeclared: isKnown ? license : "NOASSERTION",
    copyrightText: "NOASSERTION",
  };
}

function purl(locator: string): object {
  return {
    referenceCategory: "PACKAGE-MANAGER",
    referenceType: "purl",
    referenceLocator: locator,
  };
}

function contains(from: string, to: string): SpdxRelationship {
  return { spdxElementId: from, relationshipType: "CONTAINS", relatedSpdxElement: to };
}

function npmId({ name }: LockedPackage): string {
  return idOf("npm", name);
}

function crateId({ name, version }: Crate): string {
  return idOf("crate", `${name}-${version}`);
}

/** Letters, digits, dots and dashes alone. */
function idOf(kind: string, name: string): string {
  return `SPDXRef-${kind}-${name.replaceAll(/[^A-Za-z0-9.-]/g, "-")}`;
}

const ownId = "SPDXRef-fly-vault";
