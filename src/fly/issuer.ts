/** The address cannot be an issuer; the message says why. */
export class IssuerError extends Error {
  override readonly name = "IssuerError";
}

/** Where machines of this organisation get their evidence from, unless the configuration says otherwise. */
export function flyIssuer(org: string): string {
  return `https://oidc.fly.io/${encodeURIComponent(org)}`;
}

/**
 * Checks a configured issuer: https, or http on loopback (fly-local); no trailing slash, because it
 * is compared with the `iss` claim character by character. Throws `IssuerError`.
 */
export function checkIssuer(issuer: string): string {
  // A parser drops white space and line ends, and what is compared and shown is the text.
  const isPlain = /^[\x21-\x7E]+$/.test(issuer);
  const url = isPlain && URL.canParse(issuer) ? new URL(issuer) : undefined;
  if (url === undefined) throw new IssuerError(`The issuer ${issuer} is not an address`);
  if (url.protocol !== "https:" && !(url.protocol === "http:" && isLoopback(url.hostname)))
    throw new IssuerError(`The issuer ${issuer} must be https, or http on this computer`);
  if (url.username !== "" || url.password !== "" || /[?#]/.test(issuer) || issuer.endsWith("/"))
    throw new IssuerError(
      `The issuer ${issuer} must have no user, query, fragment or slash at its end`,
    );
  return issuer;
}

/** Built from configuration, never from a discovery document or a token. */
export function jwksUrl(issuer: string): string {
  return `${issuer}/.well-known/jwks`;
}

function isLoopback(hostname: string): boolean {
  return hostname === "localhost" || hostname === "[::1]" || /^127(?:\.\d{1,3}){3}$/.test(hostname);
}
