import { createHash } from "node:crypto";
import { join } from "node:path";
import * as v from "valibot";
import { readPrivateFile, writePrivateFile } from "../system/private-file.ts";
import { AttestationError } from "./attestation-error.ts";
import { fetchJwks, JwksError, parseJwks, type SigningKey } from "./jwks-fetch.ts";
import { flyLimits } from "./limits.ts";

export interface JwksCacheOptions {
  /** Where key sets are kept between runs; they are public, and checked anew when read. */
  readonly cacheDir: string;
  readonly wallMs: () => number;
  /** A cache that cannot be written is a pity, not a failure. */
  readonly warn?: (message: string) => void;
}

interface KeySet {
  readonly keys: readonly SigningKey[];
  readonly fetchedMs: number;
  /** When an unknown key id last made us ask again; 0 for never. */
  readonly refetchedMs: number;
  /** When the issuer last failed to answer, as this run remembers it. */
  readonly failedMs?: number;
}

/**
 * The signing keys of issuers. Asked for at most every ten minutes, and once more when a key id is
 * unknown (rotation), but not twice within 30 s, whatever ids a stranger makes up. While the issuer
 * does not answer, keys up to a day old stay in force. Verdicts are never kept, only keys.
 */
export class JwksCache {
  readonly #options: JwksCacheOptions;
  readonly #sets = new Map<string, KeySet>();
  /** One request at a time for each issuer; everybody else waits for it. */
  readonly #flights = new Map<string, Promise<KeySet>>();

  constructor(options: JwksCacheOptions) {
    this.#options = options;
  }

  /** Rejects with `JwksError`, or with `AttestationError` of code `key` when there is no such key. */
  async key(issuer: string, kid: string): Promise<SigningKey> {
    const known = await this.#known(issuer);
    if (known !== undefined && this.#isFresh(known)) return this.#fromFresh(issuer, kid, known);
    let fetched: KeySet;
    try {
      fetched = await this.#fetchUnlessFailed(issuer, known);
    } catch (error) {
      const stale = known !== undefined && this.#isUsable(known) ? find(known, kid) : undefined;
      if (error instanceof JwksError && stale !== undefined) return stale;
      throw error;
    }
    return find(fetched, kid) ?? unknownKey(kid);
  }

  /** What is kept of an issuer, for who looks for trouble; nobody is asked. */
  async kept(
    issuer: string,
  ): Promise<{ readonly keys: number; readonly ageMs: number } | undefined> {
    const known = await this.#known(issuer);
    if (known === undefined) return undefined;
    return { keys: known.keys.length, ageMs: this.#options.wallMs() - known.fetchedMs };
  }

  /** While old keys are in force, an issuer that just failed is left alone: nobody waits for it twice. */
  async #fetchUnlessFailed(issuer: string, known: KeySet | undefined): Promise<KeySet> {
    if (known === undefined) return this.#fetch(issuer, 0);
    const sinceMs = this.#options.wallMs() - (known.failedMs ?? Number.NEGATIVE_INFINITY);
    if (this.#isUsable(known) && sinceMs >= 0 && sinceMs < flyLimits.jwksCooldownMs)
      throw new JwksError("unreachable", `${issuer} did not answer a moment ago`);
    try {
      return await this.#fetch(issuer, known.refetchedMs);
    } catch (error) {
      this.#remember(issuer, { ...known, failedMs: this.#options.wallMs() });
      throw error;
    }
  }

  async #fromFresh(issuer: string, kid: string, known: KeySet): Promise<SigningKey> {
    const found = find(known, kid);
    if (found !== undefined) return found;
    const flight = this.#flights.get(issuer);
    if (flight !== undefined) return find(await flight, kid) ?? unknownKey(kid);
    const now = this.#options.wallMs();
    const waitedMs = now - known.refetchedMs;
    if (waitedMs >= 0 && waitedMs < flyLimits.jwksCooldownMs) return unknownKey(kid);
    // Noted before asking: a request that fails counts as well.
    this.#remember(issuer, { ...known, refetchedMs: now });
    return find(await this.#fetch(issuer, now), kid) ?? unknownKey(kid);
  }

  async #known(issuer: string): Promise<KeySet | undefined> {
    const held = this.#sets.get(issuer);
    if (held !== undefined && this.#isFresh(held)) return held;
    // Another run of this program may have asked meanwhile.
    const stored = await this.#load(issuer);
    const newer = stored !== undefined && stored.fetchedMs > (held?.fetchedMs ?? -1);
    if (newer) this.#remember(issuer, stored);
    return newer ? stored : held;
  }

  /** A set from the future (the clock was set back) is neither fresh nor usable. */
  #isFresh(set: KeySet): boolean {
    return this.#age(set) < flyLimits.jwksFreshMs;
  }

  #isUsable(set: KeySet): boolean {
    return this.#age(set) < flyLimits.jwksStaleMs;
  }

  #age(set: KeySet): number {
    const ageMs = this.#options.wallMs() - set.fetchedMs;
    return ageMs < 0 ? Number.POSITIVE_INFINITY : ageMs;
  }

  async #fetch(issuer: string, refetchedMs: number): Promise<KeySet> {
    const flying = this.#flights.get(issuer);
    if (flying !== undefined) return flying;
    const flight = this.#fetchAlone(issuer, refetchedMs);
    this.#flights.set(issuer, flight);
    try {
      return await flight;
    } finally {
      this.#flights.delete(issuer);
    }
  }

  async #fetchAlone(issuer: string, refetchedMs: number): Promise<KeySet> {
    const keys = await fetchJwks(issuer);
    const set = { keys, fetchedMs: this.#options.wallMs(), refetchedMs };
    this.#remember(issuer, set);
    await this.#store(issuer, set);
    return set;
  }

  #remember(issuer: string, set: KeySet): void {
    this.#sets.delete(issuer);
    this.#sets.set(issuer, set);
    const [oldest] = this.#sets.keys();
    if (this.#sets.size > flyLimits.issuersMax && oldest !== undefined) this.#sets.delete(oldest);
  }

  async #load(issuer: string): Promise<KeySet | undefined> {
    try {
      const bytes = await readPrivateFile(this.#path(issuer), fileBytesMax);
      return bytes === undefined ? undefined : decodeFile(bytes, issuer);
    } catch {
      // Unreadable or damaged: the issuer is asked, and the file is written anew.
      return undefined;
    }
  }

  async #store(issuer: string, set: KeySet): Promise<void> {
    const file = {
      issuer,
      fetched_ms: set.fetchedMs,
      refetched_ms: set.refetchedMs,
      keys: set.keys,
    };
    try {
      const bytes = new TextEncoder().encode(JSON.stringify(file));
      await writePrivateFile(this.#path(issuer), bytes);
    } catch (error) {
      const detail = error instanceof Error ? error.message : String(error);
      this.#options.warn?.(`signing keys could not be kept: ${detail}`);
    }
  }

  #path(issuer: string): string {
    const name = createHash("sha256").update(issuer).digest("hex").slice(0, 32);
    return join(this.#options.cacheDir, `jwks-${name}.json`);
  }
}

function find(set: KeySet, kid: string): SigningKey | undefined {
  return set.keys.find((key) => key.kid === kid);
}

function unknownKey(kid: string): never {
  throw new AttestationError("key", `The evidence is signed by key ${kid}, which is not Fly's`);
}

/** Throws where the file is not what `#store` writes. */
function decodeFile(bytes: Uint8Array, issuer: string): KeySet | undefined {
  const file = v.parse(fileSchema, JSON.parse(new TextDecoder().decode(bytes)));
  if (file.issuer !== issuer) return undefined;
  const keys = parseJwks(new TextEncoder().encode(JSON.stringify({ keys: file.keys })));
  return { keys, fetchedMs: file.fetched_ms, refetchedMs: file.refetched_ms };
}

const instant = v.pipe(v.number(), v.safeInteger(), v.minValue(0));

const fileSchema = v.object({
  issuer: v.string(),
  fetched_ms: instant,
  refetched_ms: instant,
  keys: v.array(v.unknown()),
});

const fileBytesMax = 2 * flyLimits.jwksBytesMax;
