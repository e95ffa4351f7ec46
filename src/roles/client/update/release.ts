import { Failure } from "../../../cli/failure.ts";
import { downloadFile } from "./release-download.ts";
import { releaseFile, type ReleaseSource } from "./release-source.ts";
import { parseReleaseSums, type ReleaseSums } from "./release-sums.ts";
import { isSignedBy, type ReleaseKey } from "./ssh-signature.ts";
import { updateLimits } from "./update-limits.ts";

export interface Release extends ReleaseSums {
  /** False where no key is known to check with; a signature that is wrong is never let through. */
  readonly isSigned: boolean;
}

/** What a release consists of: the newest, or the one of that version. Rejects with `Failure`. */
export async function findRelease(
  source: ReleaseSource,
  wanted: string | undefined,
  signal?: AbortSignal,
): Promise<Release> {
  const small = { timeoutMs: updateLimits.smallFileMs, signal };
  const url = releaseFile(source, wanted, "SHA256SUMS");
  const sums = await downloadFile(url, { bytesMax: updateLimits.sumsBytesMax, ...small });
  if (sums === undefined) throw noRelease(wanted, url);
  const parsed = parseSums(sums, wanted, url);
  const isSigned = source.keys.length > 0;
  if (isSigned) {
    // Of that version: the newest may be another one by now.
    const signatureUrl = releaseFile(source, parsed.version, "SHA256SUMS.sig");
    const options = { bytesMax: updateLimits.signatureBytesMax, ...small };
    checkSignature(source.keys, sums, await downloadFile(signatureUrl, options));
  }
  return { ...parsed, isSigned };
}

function parseSums(sums: Uint8Array, wanted: string | undefined, url: string): ReleaseSums {
  const parsed = parseReleaseSums(Buffer.from(sums).toString());
  if (parsed === undefined)
    throw new Failure("FV-UPD-003", "the list of the release's files cannot be understood", {
      because: `${url} is not the SHA256SUMS of one version`,
      fix: "try again later, or check FLY_VAULT_RELEASES",
    });
  if (wanted !== undefined && parsed.version !== wanted)
    throw new Failure("FV-UPD-003", `what is there as ${wanted} is another version`, {
      because: `its files are those of ${parsed.version}`,
      fix: "do not install it; tell whoever publishes the releases",
    });
  return parsed;
}

function checkSignature(
  keys: readonly ReleaseKey[],
  sums: Uint8Array,
  signature: Uint8Array | undefined,
): void {
  const fix = "do not install it by other ways; tell whoever publishes the releases";
  if (signature === undefined)
    throw new Failure("FV-UPD-002", "the release is not signed", {
      because: "there is no SHA256SUMS.sig, and this program knows a key that must have signed",
      fix,
    });
  if (!isSignedBy(keys, sums, Buffer.from(signature).toString()))
    throw new Failure("FV-UPD-002", "the release is not signed by the right key", {
      because: "SHA256SUMS.sig is no signature of SHA256SUMS by a key that this program knows",
      fix,
    });
}

function noRelease(version: string | undefined, url: string): Failure {
  return new Failure(
    "FV-UPD-004",
    version === undefined ? "nothing is released there yet" : `there is no release ${version}`,
    {
      because: `${url} is not there`,
      fix: "FLY_VAULT_RELEASES says where releases are looked for",
    },
  );
}
