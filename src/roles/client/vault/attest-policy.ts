import type { LoginOptions } from "../dial/login.ts";
import type { VaultConfig } from "./vault-config.ts";

/** What the machine of a vault has to be, as the login wants it. */
export function attestPolicy(
  config: Pick<VaultConfig, "name" | "org" | "app" | "machine_id" | "issuer" | "attest">,
): LoginOptions["vault"] {
  const { name, org, app, issuer, attest } = config;
  return {
    name,
    org,
    app,
    issuer,
    machineId: config.machine_id ?? attest?.machine,
    imageDigests: attest?.image_digests,
    pinImage: attest?.pin_image,
    minInitVersion: attest?.min_init_version,
  };
}
