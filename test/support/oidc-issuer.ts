import { createSign, generateKeyPairSync, type KeyObject, randomUUID } from "node:crypto";
import type { JWK } from "jose";

/** A key that can sign and be published. */
export interface IssuerKey {
  readonly kid: string;
  readonly privateKey: KeyObject;
  readonly publicJwk: JWK;
}

export function issuerKey(kid: string, modulusLength = 2048, publicExponent = 65_537): IssuerKey {
  const pair = generateKeyPairSync("rsa", { modulusLength, publicExponent });
  const jwk = pair.publicKey.export({ format: "jwk" }) as JWK;
  return {
    kid,
    privateKey: pair.privateKey,
    publicJwk: { ...jwk, kid, alg: "RS256", use: "sig" },
  };
}

/** A JWT by hand: any header, any payload, also such as no library would make. */
export function signJwt(key: IssuerKey, payload: unknown, header: unknown = headerOf(key)): string {
  const text = `${base64url(header)}.${base64url(payload)}`;
  const signature = createSign("RSA-SHA256").update(text).sign(key.privateKey);
  return `${text}.${signature.toString("base64url")}`;
}

export function headerOf(key: IssuerKey): Record<string, unknown> {
  return { alg: "RS256", kid: key.kid, typ: "JWT" };
}

/** Strings and bytes as they are, anything else as JSON. */
export function base64url(value: unknown): string {
  if (typeof value === "string" || value instanceof Uint8Array)
    return Buffer.from(value).toString("base64url");
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}

export interface MachineClaims {
  readonly org?: string;
  readonly app?: string;
  readonly machineId?: string;
  readonly appId?: string;
  readonly imageDigest?: string;
}

/** What Fly says of a machine, for `aud`, from now on. */
export function claimsOf(
  issuer: string,
  aud: string,
  machine: MachineClaims = {},
  nowMs = Date.now(),
): Record<string, unknown> {
  const { org = "acme", app = "dev-vaults", machineId = "148e21ea7e46e8", appId = "22" } = machine;
  const { imageDigest = "sha256:9c1f" } = machine;
  const iat = Math.floor(nowMs / 1000);
  return {
    iss: issuer,
    aud,
    sub: `${org}:${app}:tenant-1`,
    iat,
    nbf: iat,
    exp: iat + 600,
    jti: randomUUID(),
    org_id: "11",
    org_name: org,
    app_id: appId,
    app_name: app,
    machine_id: machineId,
    machine_name: "tenant-1",
    machine_version: "01HZJXGTQ084DX0G0V92QH3XW4",
    region: "ord",
    image: "registry.fly.io/dev-vaults:latest",
    image_digest: imageDigest,
  };
}

/** An issuer on loopback that answers for its keys as the test wants it to, and counts. */
export class OidcIssuer {
  keys: IssuerKey[];
  requests = 0;
  /** In place of the usual answer. */
  answer: ((request: Request) => Response | Promise<Response>) | undefined;
  readonly #server: Bun.Server<undefined>;

  constructor(keys: IssuerKey[]) {
    this.keys = keys;
    this.#server = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      idleTimeout: 0,
      fetch: (request) => {
        this.requests += 1;
        if (this.answer !== undefined) return this.answer(request);
        if (!new URL(request.url).pathname.endsWith("/.well-known/jwks"))
          return new Response("not found", { status: 404 });
        return Response.json({ keys: this.keys.map((key) => key.publicJwk) });
      },
    });
  }

  get origin(): string {
    return `http://127.0.0.1:${this.#server.port}`;
  }

  url(org = "acme"): string {
    return `${this.origin}/${org}`;
  }

  /** Signs with the newest key. */
  sign(aud: string, machine: MachineClaims = {}): string {
    const [key] = this.keys;
    if (key === undefined) throw new Error("The issuer has no key");
    return signJwt(key, claimsOf(this.url(machine.org), aud, machine));
  }

  async close(): Promise<void> {
    await this.#server.stop(true);
  }
}
