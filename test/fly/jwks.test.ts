import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AttestationError } from "../../src/fly/attestation-error.ts";
import { JwksCache } from "../../src/fly/jwks.ts";
import { JwksError } from "../../src/fly/jwks-fetch.ts";
import { flyLimits } from "../../src/fly/limits.ts";
import { issuerKey, OidcIssuer } from "../support/oidc-issuer.ts";
import { rejection } from "../support/rejection.ts";

const key = issuerKey("key-1");
const rotated = issuerKey("key-2");
const minuteMs = 60_000;

let issuer: OidcIssuer;
let cacheDir: string;
let nowMs: number;

beforeEach(async () => {
  issuer = new OidcIssuer([key]);
  cacheDir = await mkdtemp(join(tmpdir(), "fv-jwks-"));
  nowMs = 1_800_000_000_000;
});
afterEach(async () => {
  await issuer.close();
  await rm(cacheDir, { recursive: true, force: true });
});

/** As another run of the program would see it. */
function newCache(warn?: (message: string) => void): JwksCache {
  return new JwksCache({ cacheDir, wallMs: () => nowMs, ...(warn === undefined ? {} : { warn }) });
}

/** What comes of asking for a key: its id, or the kind of refusal. */
async function outcome(cache: JwksCache, kid = "key-1"): Promise<string> {
  try {
    return (await cache.key(issuer.url(), kid)).kid;
  } catch (error) {
    if (error instanceof AttestationError || error instanceof JwksError) return error.code;
    throw error;
  }
}

describe("age", () => {
  test("for ten minutes the issuer is not asked again, by this run or another", async () => {
    const cache = newCache();
    expect(await outcome(cache)).toBe("key-1");
    nowMs += flyLimits.jwksFreshMs - 1;
    expect(await outcome(cache)).toBe("key-1");
    expect(await outcome(newCache())).toBe("key-1");
    expect(issuer.requests).toBe(1);
    nowMs += 1;
    expect(await outcome(cache)).toBe("key-1");
    expect(issuer.requests).toBe(2);
  });

  test("a key that was taken back is gone after ten minutes", async () => {
    const cache = newCache();
    await outcome(cache);
    issuer.keys = [rotated];
    nowMs += flyLimits.jwksFreshMs;
    expect(await outcome(cache)).toBe("key");
  });

  for (const [name, ageMs, is] of [
    ["5 minutes", 5 * minuteMs, "key-1"],
    ["2 hours", 120 * minuteMs, "key-1"],
    ["23 h 59", 24 * 60 * minuteMs - minuteMs, "key-1"],
    ["25 hours", 25 * 60 * minuteMs, "unreachable"],
  ] as const) {
    test(`with the issuer down, keys ${name} old: ${is}`, async () => {
      const cache = newCache();
      await outcome(cache);
      issuer.answer = () => new Response("down", { status: 503 });
      nowMs += ageMs;
      expect(await outcome(cache)).toBe(is);
      expect(await outcome(newCache())).toBe(is);
    });
  }

  test("an issuer that is down is asked every 30 s while old keys are in force", async () => {
    const cache = newCache();
    await outcome(cache);
    issuer.answer = () => new Response("down", { status: 503 });
    nowMs += flyLimits.jwksFreshMs;
    for (let turn = 0; turn < 5; turn += 1) expect(await outcome(cache)).toBe("key-1");
    expect(await outcome(cache, "made-up")).toBe("unreachable");
    expect(issuer.requests).toBe(2);
    nowMs += flyLimits.jwksCooldownMs;
    expect(await outcome(cache)).toBe("key-1");
    expect(issuer.requests).toBe(3);
  });

  test("a malformed answer leaves old keys in force", async () => {
    const cache = newCache();
    await outcome(cache);
    issuer.answer = () => new Response("<html>");
    nowMs += flyLimits.jwksFreshMs;
    expect(await outcome(cache)).toBe("key-1");
    nowMs += flyLimits.jwksCooldownMs;
    expect(await outcome(cache, "key-2")).toBe("malformed");
  });

  test("a clock set back to 1970 asks the issuer, and believes no keys from the future", async () => {
    await outcome(newCache());
    nowMs = 0;
    expect(await outcome(newCache())).toBe("key-1");
    expect(issuer.requests).toBe(2);
    nowMs = 1_800_000_000_000;
    await outcome(newCache());
    nowMs = 0;
    issuer.answer = () => new Response("down", { status: 503 });
    expect(await outcome(newCache())).toBe("unreachable");
  });
});

describe("rotation", () => {
  test("an unknown key id is asked for once, and found", async () => {
    const cache = newCache();
    await outcome(cache);
    issuer.keys = [rotated, key];
    nowMs += 5000;
    expect(await outcome(cache, "key-2")).toBe("key-2");
    expect(issuer.requests).toBe(2);
    expect(await outcome(cache, "key-2")).toBe("key-2");
    expect(await outcome(cache, "key-1")).toBe("key-1");
    expect(issuer.requests).toBe(2);
  });

  test("ten thousand made-up ids cost one request in 30 s, also over several runs", async () => {
    const cache = newCache();
    await outcome(cache);
    const ids = Array.from({ length: 5000 }, (_, index) => `made-up-${index}`);
    const outcomes = new Set(await Promise.all(ids.map((id) => outcome(cache, id))));
    for (const id of ids) outcomes.add(await outcome(cache, id));
    expect([...outcomes]).toEqual(["key"]);
    expect(issuer.requests).toBe(2);
    nowMs += flyLimits.jwksCooldownMs - 1;
    await outcome(newCache(), "made-up");
    expect(issuer.requests).toBe(2);
    nowMs += 1;
    await outcome(newCache(), "made-up");
    expect(issuer.requests).toBe(3);
  });

  test("a request that fails counts as well, and known keys stay in force", async () => {
    const cache = newCache();
    await outcome(cache);
    issuer.answer = () => new Response("down", { status: 503 });
    expect(await outcome(cache, "key-2")).toBe("unreachable");
    expect(await outcome(cache, "key-2")).toBe("key");
    expect(await outcome(cache, "key-1")).toBe("key-1");
    expect(issuer.requests).toBe(2);
  });
});

test("many at once share one request", async () => {
  issuer.answer = async () => {
    await Bun.sleep(20);
    return Response.json({ keys: [key.publicJwk] });
  };
  const cache = newCache();
  const outcomes = await Promise.all(Array.from({ length: 100 }, () => outcome(cache)));
  expect(new Set(outcomes)).toEqual(new Set(["key-1"]));
  expect(issuer.requests).toBe(1);
});

test("two issuers have two sets", async () => {
  const cache = newCache();
  await outcome(cache);
  await cache.key(issuer.url("other"), "key-1");
  expect(issuer.requests).toBe(2);
  expect(await readdir(cacheDir)).toHaveLength(2);
});

test("only so many issuers are held in memory", async () => {
  const cache = newCache();
  await outcome(cache);
  for (let index = 0; index < flyLimits.issuersMax; index += 1)
    await cache.key(issuer.url(`org-${index}`), "key-1");
  const requests = issuer.requests;
  await rm(cacheDir, { recursive: true });
  await outcome(cache);
  expect(issuer.requests).toBe(requests + 1);
});

async function path(): Promise<string> {
  const [name] = await readdir(cacheDir);
  return join(cacheDir, name ?? "none");
}

describe("the file", () => {
  test("is the owner's alone, and holds public keys", async () => {
    await outcome(newCache());
    expect((await stat(await path())).mode & 0o777).toBe(0o600);
    expect(await readFile(await path(), "utf8")).not.toContain('"d"');
  });

  const damages: Record<string, (file: string) => Promise<void>> = {
    empty: (file) => writeFile(file, ""),
    "cut short": async (file) => writeFile(file, (await readFile(file)).subarray(0, 200)),
    "not JSON": (file) => writeFile(file, "keys"),
    "of another shape": (file) => writeFile(file, '{"keys":[]}'),
    huge: (file) => writeFile(file, Buffer.alloc(1024 * 1024, " ")),
    "writable by others": (file) => chmod(file, 0o666),
    "of another issuer": async (file) =>
      writeFile(file, (await readFile(file, "utf8")).replace("/acme", "/evil")),
    "with a weak key": async (file) =>
      writeFile(file, (await readFile(file, "utf8")).replace('"AQAB"', '"AQ"')),
  };
  for (const [name, damage] of Object.entries(damages)) {
    test(`${name} is not believed, and written anew`, async () => {
      await outcome(newCache());
      await damage(await path());
      expect(await outcome(newCache())).toBe("key-1");
      expect(issuer.requests).toBe(2);
      expect(await outcome(newCache())).toBe("key-1");
      expect(issuer.requests).toBe(2);
    });
  }

  test("that cannot be written is a warning and no failure", async () => {
    await rm(cacheDir, { recursive: true });
    await writeFile(cacheDir, "a file where the folder should be");
    const warnings: string[] = [];
    const cache = newCache((message) => warnings.push(message));
    expect(await outcome(cache)).toBe("key-1");
    expect(warnings).toHaveLength(1);
  });
});

test("an error that is no refusal is not hidden", async () => {
  const cache = new JwksCache({
    cacheDir,
    wallMs: () => {
      throw new TypeError("no clock");
    },
  });
  expect(await rejection(cache.key(issuer.url(), "key-1"))).toBeInstanceOf(TypeError);
});
