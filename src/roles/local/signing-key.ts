import { createHash, generateKeyPairSync, randomUUID } from "node:crypto";
import { join } from "node:path";
import { calculateJwkThumbprint, exportJWK, importPKCS8, type JWK, SignJWT } from "jose";
import * as v from "valibot";
import { localLimits } from "./limits.ts";
import { readIfThere, writePrivate } from "./state-store.ts";

interface SigningKey {
  readonly kid: string;
  readonly pem: string;
  readonly publicJwk: JWK;
}

/** The keys of the issuer. The first one signs; the others are still published, as after a rotation. */
export class SigningKeys {
  readonly #path: string;
  #keys: SigningKey[];

  private constructor(path: string, keys: SigningKey[]) {
    this.#path = path;
    this.#keys = keys;
  }

  static async open(stateDir: string): Promise<SigningKeys> {
    const path = join(stateDir, "signing-keys.json");
    const text = readIfThere(path);
    const pems = text === undefined ? [] : v.parse(v.array(v.string()), JSON.parse(text));
    const keys = new SigningKeys(path, await Promise.all(pems.map(async (pem) => keyOf(pem))));
    if (keys.#keys.length === 0) await keys.rotate({ dropOld: false });
    return keys;
  }

  /** A new key signs from now on. Old ones are kept for tokens on their way, unless they leaked. */
  async rotate(options: { readonly dropOld: boolean }): Promise<string> {
    const { privateKey } = generateKeyPairSync("rsa", {
      modulusLength: 2048,
      privateKeyEncoding: { type: "pkcs8", format: "pem" },
      publicKeyEncoding: { type: "spki", format: "pem" },
    });
    const key = await keyOf(privateKey);
    const kept = options.dropOld ? [] : this.#keys;
    this.#keys = [key, ...kept].slice(0, localLimits.signingKeysMax);
    writePrivate(this.#path, JSON.stringify(this.#keys.map((each) => each.pem)));
    return key.kid;
  }

  jwks(): { readonly keys: readonly JWK[] } {
    return {
      keys: this.#keys.map(({ kid, publicJwk }) => ({
        ...publicJwk,
        kid,
        alg: "RS256",
        use: "sig",
      })),
    };
  }

  async sign(claims: Record<string, unknown>): Promise<string> {
    const [key] = this.#keys;
    if (key === undefined) throw new Error("No signing key");
    return new SignJWT({ ...claims, jti: randomUUID() })
      .setProtectedHeader({ alg: "RS256", kid: key.kid, typ: "JWT" })
      .sign(await importPKCS8(key.pem, "RS256"));
  }
}

/** Images are named, not fetched, so their digest is that of the name unless the name has one. */
export function imageDigest(image: string): string {
  const pinned = /@(sha256:[0-9a-f]{64})$/u.exec(image)?.[1];
  return pinned ?? `sha256:${createHash("sha256").update(image).digest("hex")}`;
}

async function keyOf(pem: string): Promise<SigningKey> {
  const jwk = await exportJWK(await importPKCS8(pem, "RS256", { extractable: true }));
  const publicJwk: JWK = { kty: "RSA", n: jwk.n ?? "", e: jwk.e ?? "" };
  return { kid: await calculateJwkThumbprint(publicJwk), pem, publicJwk };
}
