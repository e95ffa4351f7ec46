import type { LockedPackage } from "./package-lock.ts";

export interface Origin {
  readonly repository: string;
  /** The commit. */
  readonly revision: string;
  /** Who ran the build, as an address. */
  readonly builder: string;
  readonly bunVersion: string;
  readonly version: string;
}

export interface Subject {
  readonly name: string;
  readonly sha256: string;
}

/**
 * What was built from what, as an in-toto statement with a SLSA v1 predicate. It is signed only as far as
 * SHA256SUMS is, which lists it. No times: the same commit makes the same statement.
 */
export function makeProvenance(
  { repository, revision, builder, bunVersion, version }: Origin,
  subjects: readonly Subject[],
  packages: readonly LockedPackage[],
): object {
  return {
    _type: "https://in-toto.io/Statement/v1",
    subject: subjects.map(({ name, sha256 }) => ({ name, digest: { sha256 } })),
    predicateType: "https://slsa.dev/provenance/v1",
    predicate: {
      buildDefinition: {
        buildType: `${repository}/blob/${revision}/docs/release.md`,
        externalParameters: { command: "make release", version },
        internalParameters: { bun: bunVersion },
        resolvedDependencies: [
          { uri: `git+${repository}@${revision}`, digest: { gitCommit: revision } },
          ...packages.map(({ name, version: of, integrity }) => ({
            uri: `pkg:npm/${name.replace("@", "%40")}@${of}`,
            digest: {
              sha512: Buffer.from(integrity.slice("sha512-".length), "base64").toString("hex"),
            },
          })),
        ],
      },
      runDetails: { builder: { id: builder } },
    },
  };
}
