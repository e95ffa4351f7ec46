import type { Context } from "../../../cli/context.ts";
import { UsageError } from "../../../cli/usage-error.ts";
import { builtInReleaseKeys } from "./release-key.ts";
import { parseReleaseKeys, type ReleaseKey } from "./ssh-signature.ts";

/** Where releases are published, by default. `install.sh` has the same. */
export const publishedAt = "https://github.com/fly-vault/fly-vault/releases";

export interface ReleaseSource {
  /** Without a slash at its end. */
  readonly base: string;
  /** None: signatures cannot be checked. */
  readonly keys: readonly ReleaseKey[];
}

/** From the environment, else what is built in. Throws `UsageError`. */
export function releaseSource(env: Context["env"]): ReleaseSource {
  const base = (env["FLY_VAULT_RELEASES"] || publishedAt).replace(/\/+$/, "");
  if (!URL.canParse(base) || !isAllowed(new URL(base)))
    throw new UsageError(`FLY_VAULT_RELEASES must be an https: address, not "${base}"`);
  const said = env["FLY_VAULT_RELEASE_KEY"];
  const keys = parseReleaseKeys(said || builtInReleaseKeys);
  if (keys === undefined)
    throw new UsageError('FLY_VAULT_RELEASE_KEY must be a line like "ssh-ed25519 AAAA..."');
  return { base, keys };
}

/** Of one file of a release: of the newest, where no version is said. */
export function releaseFile(
  { base }: ReleaseSource,
  version: string | undefined,
  name: string,
): string {
  const place = version === undefined ? "latest/download" : `download/v${version}`;
  return `${base}/${place}/${name}`;
}

/** Where a download may come from: nobody in between may change it. */
function isAllowed({ protocol, hostname }: URL): boolean {
  if (protocol === "https:") return true;
  return protocol === "http:" && ["localhost", "127.0.0.1", "[::1]"].includes(hostname);
}

/** Whether a download may be led on: from elsewhere never to what listens on this computer over http. */
export function mayLeadTo(next: URL, start: URL): boolean {
  return next.protocol === "https:" || (start.protocol === "http:" && isAllowed(next));
}
