import type { FailureCode } from "./failure-codes.ts";

/** Of the codes that `version --check` and `self-update` end with (explanations.ts has all others). */
export const updateExplanations = {
  "FV-UPD-001": {
    meaning:
      "The place where releases are published did not answer, not in time, with too much, or sent us on to an address that is not https.",
    remedy: "Check the network, and FLY_VAULT_RELEASES where it is set. Nothing was changed.",
  },
  "FV-UPD-002": {
    meaning:
      "SHA256SUMS of a release is signed, and all else is checked against it. Here the signature is missing or wrong, or this program knows no key to check it with: only a release made with a key has one built in. Where the key has changed since this version, a release in between was signed with the old one and brings the new one.",
    remedy:
      "Never install that release by hand because of this. After a change of the key update in two steps: `fly-vault self-update TRANSITIONAL_VERSION`, with the version that the release notes name, then `fly-vault self-update`. For your own releases set FLY_VAULT_RELEASE_KEY to the public key. Nothing was changed.",
  },
  "FV-UPD-003": {
    meaning:
      "The list of files could not be understood, an archive has another checksum than the list says, or does not hold the program.",
    remedy: "Try again, since a download may be damaged; then tell whoever publishes the releases.",
  },
  "FV-UPD-004": {
    meaning:
      "Nothing is published at that place, not that version, or no executable for this system and processor.",
    remedy: "`fly-vault version --check` says what is there; `make build` builds from source.",
  },
  "FV-UPD-005": {
    meaning:
      "What is published as the newest is older than the program that runs. Somebody may be offering an old release on purpose, for a mistake that is in it.",
    remedy: "If you want it all the same, name it: `fly-vault self-update VERSION`.",
  },
  "FV-UPD-006": {
    meaning:
      "The program's folder may not be written, it was installed by a package manager, it runs from its source, or on Windows.",
    remedy: "The cause says which; update it the way it was installed. Nothing was changed.",
  },
  "FV-UPD-007": {
    meaning:
      "The release was fetched and is genuine, but could not say its version when it was tried: another system or processor, or a C library that is too old.",
    remedy: "Stay with this version, or build from source. Nothing was changed.",
  },
} as const satisfies Partial<
  Record<FailureCode, { readonly meaning: string; readonly remedy: string }>
>;
