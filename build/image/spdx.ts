import type { DebianPackage } from "./dpkg-status.ts";
import type { NpmPackage } from "./npm-packages.ts";

/** What is known of an image when it is built. */
export interface ImageContents {
  readonly name: string;
  readonly version: string;
  readonly createdMs: number;
  /** Of the image: "sha256:…". */
  readonly digest: string;
  readonly programSha256: string;
  readonly debian: readonly DebianPackage[];
  readonly npm: readonly NpmPackage[];
}

/** The image's bill of materials, as SPDX 2.3 has it: the image contains Debian's packages and our program, and that the rest. */
export function spdxDocument(image: ImageContents): SpdxDocument {
  const hex = image.digest.replace(/^sha256:/, "");
  const whole: SpdxPackage = {
    ...plain("SPDXRef-Image", image.name, image.version),
    primaryPackagePurpose: "CONTAINER",
    checksums: [{ algorithm: "SHA256", checksumValue: hex }],
  };
  const program: SpdxPackage = {
    ...plain("SPDXRef-Program", "fly-vault", image.version),
    licenseDeclared: "MIT",
    primaryPackagePurpose: "APPLICATION",
    checksums: [{ algorithm: "SHA256", checksumValue: image.programSha256 }],
  };
  const debian = image.debian.map(debianPackage);
  const npm = image.npm.map(npmPackage);
  return {
    spdxVersion: "SPDX-2.3",
    dataLicense: "CC0-1.0",
    SPDXID: "SPDXRef-DOCUMENT",
    name: `${image.name}-${image.version}`,
    documentNamespace: `https://spdx.org/spdxdocs/${image.name}-${image.version}-${hex}`,
    creationInfo: {
      created: new Date(image.createdMs).toISOString().replace(/\.\d+Z$/, "Z"),
      creators: [`Tool: fly-vault-build-${image.version}`],
    },
    packages: [whole, program, ...debian, ...npm],
    relationships: [
      relationship("SPDXRef-DOCUMENT", "DESCRIBES", whole),
      ...[program, ...debian].map((part) => relationship(whole.SPDXID, "CONTAINS", part)),
      ...npm.map((part) => relationship(program.SPDXID, "CONTAINS", part)),
    ],
  };
}

export interface SpdxDocument {
  readonly spdxVersion: "SPDX-2.3";
  readonly dataLicense: "CC0-1.0";
  readonly SPDXID: string;
  readonly name: string;
  readonly documentNamespace: string;
  readonly creationInfo: { readonly created: string; readonly creators: readonly string[] };
  readonly packages: readonly SpdxPackage[];
  readonly relationships: readonly SpdxRelationship[];
}

interface SpdxPackage {
  readonly SPDXID: string;
  readonly name: string;
  readonly versionInfo: string;
  readonly downloadLocation: string;
  readonly filesAnalyzed: false;
  readonly licenseConcluded: string;
  readonly licenseDeclared: string;
  readonly copyrightText: string;
  readonly supplier?: string;
  readonly primaryPackagePurpose?: string;
  readonly checksums?: readonly { readonly algorithm: string; readonly checksumValue: string }[];
  readonly externalRefs?: readonly {
    readonly referenceCategory: "PACKAGE-MANAGER";
    readonly referenceType: "purl";
    readonly referenceLocator: string;
  }[];
}

interface SpdxRelationship {
  readonly spdxElementId: string;
  readonly relationshipType: string;
  readonly relatedSpdxElement: string;
}

/** Debian says what licences a package has in prose alone. */
function debianPackage(one: DebianPackage): SpdxPackage {
  const version = encodeURIComponent(one.version);
  return {
    ...plain(`SPDXRef-deb-${idOf(one.name)}-${idOf(one.architecture)}`, one.name, one.version),
    // SPDX has addresses in parentheses.
    supplier: `Organization: ${one.maintainer.replace(/<([^<>]*)>$/, "($1)")}`,
    externalRefs: purl(
      `pkg:deb/debian/${encodeURIComponent(one.name)}@${version}?arch=${one.architecture}`,
    ),
  };
}

function npmPackage(one: NpmPackage): SpdxPackage {
  const id = `SPDXRef-npm-${idOf(one.name)}-${idOf(one.version)}`;
  return {
    ...plain(id, one.name, one.version),
    licenseDeclared: one.license ?? "NOASSERTION",
    externalRefs: purl(`pkg:npm/${one.name.replace("@", "%40")}@${one.version}`),
    ...(one.sha512 === undefined
      ? {}
      : { checksums: [{ algorithm: "SHA512", checksumValue: one.sha512 }] }),
  };
}

function plain(id: string, name: string, version: string): SpdxPackage {
  return {
    SPDXID: id,
    name,
    versionInfo: version,
    downloadLocation: "NOASSERTION",
    filesAnalyzed: false,
    licenseConcluded: "NOASSERTION",
    licenseDeclared: "NOASSERTION",
    copyrightText: "NOASSERTION",
  };
}

function purl(locator: string): SpdxPackage["externalRefs"] & {} {
  return [
    { referenceCategory: "PACKAGE-MANAGER", referenceType: "purl", referenceLocator: locator },
  ];
}

/** Letters, digits, dots and dashes alone are allowed there. "libstdc++6" must not become "libstdc-6" of another. */
function idOf(name: string): string {
  return name.replaceAll(/[^A-Za-z0-9.-]/g, (char) => `-x${char.codePointAt(0)?.toString(16)}-`);
}

function relationship(from: string, type: string, to: SpdxPackage): SpdxRelationship {
  return { spdxElementId: from, relationshipType: type, relatedSpdxElement: to.SPDXID };
}
