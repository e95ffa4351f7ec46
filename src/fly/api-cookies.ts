import { apiLimits } from "./api-limits.ts";

/**
 * Fly pins a client to the API instance that took its last write, by cookie: without a jar the next
 * read may come from one that has not heard of it. One client talks to one host, so names suffice.
 */
export class CookieJar {
  readonly #cookies = new Map<string, string>();

  take(headers: Headers): void {
    for (const line of headers.getSetCookie()) {
      const [pair = "", ...attributes] = line.split(";");
      const equals = pair.indexOf("=");
      const name = pair.slice(0, equals).trim();
      if (equals < 1 || !/^[\w!#$%&'*+.^`|~-]+$/u.test(name)) continue;
      if (line.length > apiLimits.cookieBytesMax) continue;
      this.#cookies.delete(name);
      if (!isExpired(attributes)) this.#cookies.set(name, pair.slice(equals + 1).trim());
      if (this.#cookies.size > apiLimits.cookiesMax) this.#dropOldest();
    }
  }

  /** The `Cookie` header, if there is anything to say. */
  header(): string | undefined {
    if (this.#cookies.size === 0) return undefined;
    return [...this.#cookies].map(([name, value]) => `${name}=${value}`).join("; ");
  }

  #dropOldest(): void {
    const [oldest] = this.#cookies.keys();
    if (oldest !== undefined) this.#cookies.delete(oldest);
  }
}

/** How a server takes a cookie back. */
function isExpired(attributes: readonly string[]): boolean {
  return attributes.some((attribute) => /^\s*max-age\s*=\s*(?:0+|-\d+)\s*$/iu.test(attribute));
}
