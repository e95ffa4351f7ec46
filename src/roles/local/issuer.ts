import type { AppRecord, MachineRecord } from "./record.ts";
import { imageDigest, type SigningKeys } from "./signing-key.ts";
import { localLimits } from "./limits.ts";
import { textOf } from "./machine-config.ts";

/** What Fly's issuer does: says in a signed token which machine asked. */
export class Issuer {
  readonly url: string;
  readonly #org: { readonly slug: string; readonly id: number };
  readonly #keys: SigningKeys;
  readonly #wallMs: () => number;

  constructor(options: {
    readonly apiBase: string;
    readonly org: { readonly slug: string; readonly id: number };
    readonly keys: SigningKeys;
    readonly wallMs: () => number;
  }) {
    this.url = `${options.apiBase}/${options.org.slug}`;
    this.#org = options.org;
    this.#keys = options.keys;
    this.#wallMs = options.wallMs;
  }

  discovery(): Record<string, unknown> {
    return {
      issuer: this.url,
      jwks_uri: `${this.url}/.well-known/jwks`,
      response_types_supported: ["id_token"],
      subject_types_supported: ["public"],
      id_token_signing_alg_values_supported: ["RS256"],
      scopes_supported: ["openid"],
      claims_supported: [...claimNames],
    };
  }

  jwks(): Record<string, unknown> {
    return { ...this.#keys.jwks() };
  }

  async evidence(machine: MachineRecord, app: AppRecord, audience?: string): Promise<string> {
    const issuedAt = Math.floor(this.#wallMs() / 1_000);
    const image = textOf(machine.config["image"]) ?? "";
    const claims: Record<(typeof claimNames)[number], string | number> = {
      iss: this.url,
      aud: audience ?? `https://fly.io/${this.#org.slug}`,
      sub: `${this.#org.slug}:${app.name}:${machine.name}`,
      iat: issuedAt,
      nbf: issuedAt,
      exp: issuedAt + localLimits.tokenLifeSeconds,
      org_id: String(this.#org.id),
      org_name: this.#org.slug,
      app_id: String(app.id),
      app_name: app.name,
      machine_id: machine.id,
      machine_name: machine.name,
      machine_version: machine.version,
      region: machine.region,
      image,
      image_digest: imageDigest(image),
    };
    return this.#keys.sign(claims);
  }
}

const claimNames = [
  "iss",
  "aud",
  "sub",
  "iat",
  "nbf",
  "exp",
  "org_id",
  "org_name",
  "app_id",
  "app_name",
  "machine_id",
  "machine_name",
  "machine_version",
  "region",
  "image",
  "image_digest",
] as const;
