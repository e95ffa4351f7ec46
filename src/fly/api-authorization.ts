/**
 * The `Authorization` header for whatever text a user has for a token: `fly tokens create` prints
 * `FlyV1 fm2_…`, others hold `Bearer …` or nothing before it. Macaroons go as `FlyV1`, the rest as
 * `Bearer`; the Machines API refuses a mix, so of a mix only the macaroons are sent.
 */
export function authorizationHeader(token: string): string {
  let bare = token.trim();
  for (let scheme = schemes.exec(bare); scheme !== null; scheme = schemes.exec(bare)) {
    bare = bare.slice(scheme[0].length).trim();
  }
  const parts = bare
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "");
  const macaroons = parts.filter((part) => /^fm(?:1r|1a|2)_/u.test(part));
  return macaroons.length > 0 ? `FlyV1 ${macaroons.join(",")}` : `Bearer ${parts[0] ?? ""}`;
}

/** Both forms of the token, and each macaroon, out of any text that is shown. */
export function redact(text: string, token: string): string {
  let clean = text;
  for (const secret of [token.trim(), ...token.split(/[\s,]+/u)]) {
    if (secret.length >= 8) clean = clean.replaceAll(secret, "…");
  }
  return clean;
}

const schemes = /^(?:bearer|flyv1)\s+/iu;
