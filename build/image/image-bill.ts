import type { SpdxDocument } from "../release/sbom.ts";
import type { DebianPackage } from "./dpkg-status.ts";

/** What is known of an image when it is built. */
export interface ImageContents {
  readonly name: string;
  readonly version: string;
  /** Of the image: "sha256:…". */
  readonly digest: string;
  readonly debian: readonly DebianPackage[];
}

/** The image's bill of materials, SPDX 2.3: it contains Debian's packages, and the program with all that is in that. */
export function imageBill(image: ImageContents, program: SpdxDocument): SpdxDocument {
  const hex = image.digest.replace(/^sha256:/, "");
  const described = program.relationships.filter(isDescription);
  const inside = program.relationships.filter((one) => !isDescription(one));
  const parts = [
    ...described.map(({ relatedSpdxElement }) => relatedSpdxElement),
    ...image.debian.map(debianId),
  ];
  const whole = {
    ...plain(imageId, image.name, image.version),
    primaryPackagePurpose: "CONTAINER",
    checksums: [{ algorithm: "SHA256", checksumValue: hex }],
  };
  return {
    ...program,
    name: `${image.name}-${image.version}`,
    documentNamespace: `https://spdx.org/spdxdocs/${image.name}-${image.version}-${hex}`,
    packages: [whole, ...image.debian.map(debianPackage), ...program.packages],
    relationships: [
      relationship(program.SPDXID, "DESCRIBES", imageId),
      ...parts.map((part) => relationship(imageId, "CONTAINS", part)),
      ...inside,
    ],
  };
}

type Relationship = SpdxDocument["relationships"][number];

function relationship(from: string, relationshipType: string, to: string): Relationship {
  return { spdxElementId: from, relationshipType, relatedSpdxElement: to };
}

function isDescription({ relationshipType }: Relationship): boolean {
  return relationshipType === "DESCRIBES";
}

/** Debian says what licences a package has in prose alone. */
function debianPackage(one: DebianPackage): object {
  const { name, version, architecture } = one;
  const locator = `pkg:deb/debian/${encodeURIComponent(name)}@${encodeURIComponent(version)}?arch=${architecture}`;
  return {
    ...plain(debianId(one), name, version),
    // SPDX has addresses in parentheses.
    supplier: `Organization: ${one.maintainer.replace(/<([^<>]*)>$/, "($1)")}`,
    externalRefs: [
      { referenceCategory: "PACKAGE-MANAGER", referenceType: "purl", referenceLocator: locator },
    ],
  };
}

function plain(id: string, name: string, version: string): object {
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

/** Letters, digits, dots and dashes alone are allowed there. */
function debianId({ name, architecture }: DebianPackage): string {
  const legal = name.replaceAll(
    /[^A-Za-z0-9.-]/g,
    (char) => `-x${char.codePointAt(0)?.toString(16)}-`,
  );
  return `SPDXRef-deb-${legal}-${architecture}`;
}

const imageId = "SPDXRef-Image";
