import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { authorizationHeader, redact } from "../../src/fly/api-authorization.ts";
import { CookieJar } from "../../src/fly/api-cookies.ts";
import { errorKind } from "../../src/fly/api-error.ts";
import { apiLimits } from "../../src/fly/api-limits.ts";
import { ApiPace } from "../../src/fly/api-pace.ts";
import { parseGoDuration } from "../../src/fly/duration.ts";
import { TokenBucket } from "../../src/system/token-bucket.ts";
import { seeded } from "../support/seed.ts";

describe("authorizationHeader", () => {
  test("macaroons go as FlyV1, anything else as Bearer, whatever stood before", () => {
    const cases = [
      ["abc", "Bearer abc"],
      ["Bearer abc", "Bearer abc"],
      ["FlyV1 fm2_x,fm2_y\n", "FlyV1 fm2_x,fm2_y"],
      ["fm2_x", "FlyV1 fm2_x"],
      ["Bearer FlyV1 fm2_x", "FlyV1 fm2_x"],
      ["bearer  fm1r_a, fm1a_b", "FlyV1 fm1r_a,fm1a_b"],
      ["oauth,fm2_x", "FlyV1 fm2_x"],
    ];
    for (const [token = "", header = ""] of cases) expect(authorizationHeader(token)).toBe(header);
  });

  test("redact takes every form of the token out of a text", () => {
    const token = "FlyV1 fm2_aaaaaaaa,fm2_bbbbbbbb";
    const text = `sent "${token}", or fm2_bbbbbbbb alone`;
    expect(redact(text, token)).not.toMatch(/fm2_/);
    expect(redact("an app", "an")).toBe("an app");
  });
});

describe("parseGoDuration", () => {
  test("Go's texts and nanoseconds", () => {
    const cases: readonly (readonly [string | number, number | undefined])[] = [
      ["10s", 10_000],
      ["1m30s", 90_000],
      ["1.5h", 5_400_000],
      ["100us", 0.1],
      ["0", 0],
      [5_000_000_000, 5_000],
      ["10", undefined],
      ["", undefined],
      ["-1s", undefined],
      ["1s ", undefined],
      [-1, undefined],
      [Number.NaN, undefined],
    ];
    for (const [text, ms] of cases) expect([text, parseGoDuration(text)]).toEqual([text, ms]);
  });

  test("parts add up", () => {
    fc.assert(
      fc.property(fc.nat(99), fc.nat(99), fc.nat(99), (h, m, s) => {
        expect(parseGoDuration(`${h}h${m}m${s}s`)).toBe(((h * 60 + m) * 60 + s) * 1_000);
      }),
      seeded(200),
    );
  });
});

describe("TokenBucket", () => {
  test("never lets more through than burst plus rate times time", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(2_000), { maxLength: 200 }), (gapsMs) => {
        const bucket = new TokenBucket({ perSecond: 1, burst: 3, nowMs: 0 });
        let nowMs = 0;
        let passed = 0;
        for (const gapMs of gapsMs) {
          nowMs += gapMs;
          if (bucket.take(nowMs)) passed += 1;
          expect(passed).toBeLessThanOrEqual(3 + nowMs / 1_000 + 1e-9);
        }
      }),
      seeded(300),
    );
  });

  test("reserve spaces callers out instead of turning them away", () => {
    const bucket = new TokenBucket({ perSecond: 1, burst: 3, nowMs: 0 });
    expect([1, 2, 3, 4, 5].map(() => bucket.reserve(0))).toEqual([0, 0, 0, 1_000, 2_000]);
    expect(bucket.isFull(4_999)).toBe(false);
    expect(bucket.isFull(5_000)).toBe(true);
  });
});

test("ApiPace remembers a bounded number of ids", async () => {
  const slept: number[] = [];
  const pace = new ApiPace({
    monotonicMs: () => 0,
    sleep: async (ms) => void slept.push(ms),
    random: () => 0,
  });
  for (let at = 0; at <= apiLimits.bucketsMax; at += 1) {
    await pace.wait({ action: "read", id: String(at) });
  }
  for (let at = 0; at < 3; at += 1) await pace.wait({ action: "read", id: "1" });
  expect(slept.length).toBe(1);
  // The oldest was forgotten, and so starts with a fresh burst.
  for (let at = 0; at < 3; at += 1) await pace.wait({ action: "read", id: "0" });
  expect(slept.length).toBe(1);
});

const take = (jar: CookieJar, ...lines: readonly string[]) => {
  const headers = new Headers();
  for (const line of lines) headers.append("set-cookie", line);
  jar.take(headers);
};

describe("CookieJar", () => {
  test("keeps the newest value of a name, and lets go of what is taken back", () => {
    const jar = new CookieJar();
    expect(jar.header()).toBeUndefined();
    take(jar, "fly-machines-api=a; Path=/; HttpOnly", "b=2");
    expect(jar.header()).toBe("fly-machines-api=a; b=2");
    take(jar, "fly-machines-api=c; Max-Age=60", "b=; Max-Age=0");
    expect(jar.header()).toBe("fly-machines-api=c");
  });

  test("is bounded, and ignores what is no cookie", () => {
    const jar = new CookieJar();
    take(jar, "=x", "no-equals", "bad name=1", `big=${"x".repeat(apiLimits.cookieBytesMax)}`);
    expect(jar.header()).toBeUndefined();
    for (let at = 0; at < apiLimits.cookiesMax + 5; at += 1) take(jar, `c${at}=${at}`);
    const names = jar.header()?.split("; ") ?? [];
    expect(names.length).toBe(apiLimits.cookiesMax);
    expect(names[0]).toBe("c5=5");
  });
});

test("errorKind tells apart what shares a status", () => {
  const cases = [
    [400, "", "bad", "refused"],
    [401, "", "", "unauthorised"],
    [403, "", "", "unauthorised"],
    [404, "", "", "not-found"],
    [408, "", "", "lost"],
    [409, "", "lease currently held by x", "conflict"],
    [409, "", "insufficient memory available", "no-capacity"],
    [412, "", "volume in use", "conflict"],
    [412, "volume_placement_capacity", "", "no-capacity"],
    [422, "", "name is invalid", "refused"],
    [422, "name_taken", "", "conflict"],
    [422, "", "already_exists: unique machine name violation", "conflict"],
    [422, "insufficient_capacity", "", "no-capacity"],
    [429, "", "", "rate-limited"],
    [500, "", "", "unavailable"],
    [504, "", "", "unavailable"],
  ] as const;
  for (const [status, reason, text, kind] of cases) {
    expect([status, text, errorKind(status, reason, text)]).toEqual([status, text, kind]);
  }
});
