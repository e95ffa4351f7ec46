import { digests } from "../../src/fly/digests.ts";
import { deriveLoginKey, deriveLoginKeys } from "../../src/fly/token.ts";

/** Which traces of a token are in `bytes`: itself, its keys, in the spellings one would think of. */
export function secretTraces(bytes: Uint8Array, token: string, app: string): string[] {
  const haystack = Buffer.from(bytes);
  const keys = deriveLoginKeys(token, app);
  const secrets: Record<string, Uint8Array> = {
    token: new TextEncoder().encode(token),
    K_login: deriveLoginKey(token, app),
    Kc: keys.client,
    Ks: keys.server,
    "SHA-256 of the token": digests.sha256(new TextEncoder().encode(token)),
  };
  return Object.entries(secrets).flatMap(([name, secret]) =>
    spellings(secret)
      .filter((spelling) => haystack.includes(spelling))
      .map(() => name),
  );
}

function spellings(secret: Uint8Array): Uint8Array[] {
  const buffer = Buffer.from(secret);
  const texts = [buffer.toString("hex"), buffer.toString("base64"), buffer.toString("base64url")];
  return [buffer, ...texts.map((text) => Buffer.from(text.replace(/=+$/, "")))];
}
