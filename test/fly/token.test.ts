import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  deriveLoginKey,
  deriveLoginKeys,
  expandLoginKey,
  generateToken,
  TokenError,
  tokenStrength,
} from "../../src/fly/token.ts";
import { seeded } from "../support/seed.ts";
import vectors from "../vectors/login.json";

for (const key of vectors.keys) {
  test(`vector: ${key.name}`, () => {
    expect(tokenStrength(key.token)).toBe(key.strength as "strong" | "weak");
    const loginKey = deriveLoginKey(key.token, key.app);
    expect(loginKey.toHex()).toBe(key.login_key);
    const keys = expandLoginKey(loginKey);
    expect(keys.client.toHex()).toBe(key.client_key);
    expect(keys.server.toHex()).toBe(key.server_key);
    expect(deriveLoginKeys(key.token, key.app)).toEqual(keys);
  });
}

describe("tokenStrength", () => {
  const secret = fc.uint8Array({ minLength: 32, maxLength: 32 });

  test("calls every generated token strong", () => {
    const property = fc.property(secret, (random) => {
      const token = generateToken(random);
      expect(token).toMatch(/^fvt1_[A-Za-z0-9_-]{43}_[A-Za-z0-9_-]{6}$/);
      expect(tokenStrength(token)).toBe("strong");
    });
    fc.assert(property, seeded(200));
  });

  test("notices one wrong, missing or added character", () => {
    const property = fc.property(
      secret,
      fc.nat(),
      fc.constantFrom("a", "-", "Z"),
      (random, at, c) => {
        const token = generateToken(random);
        const index = 5 + (at % (token.length - 5));
        const cut = token.slice(0, index) + token.slice(index + 1);
        expect(tokenStrength(cut)).toBe("mistyped");
        const changed = token.slice(0, index) + c + token.slice(index + 1);
        expect(tokenStrength(changed)).toBe(changed === token ? "strong" : "mistyped");
        expect(tokenStrength(`${token}${c}`)).toBe("mistyped");
      },
    );
    fc.assert(property, seeded(200));
  });

  test("takes any other words as weak, and none as empty", () => {
    expect(tokenStrength("secret")).toBe("weak");
    expect(tokenStrength(" ")).toBe("weak");
    expect(tokenStrength("FVT1_x")).toBe("weak");
    expect(tokenStrength("")).toBe("empty");
  });
});

test("deriveLoginKey refuses what is empty or mistyped, without quoting it", () => {
  expect(() => deriveLoginKey("", "app")).toThrow(TokenError);
  expect(() => deriveLoginKey("fvt1_canary", "app")).toThrow(/mistyped/);
  expect(() => deriveLoginKey("fvt1_canary", "app")).not.toThrow(/canary/);
});

test("keys of two apps have nothing in common", () => {
  expect(deriveLoginKey("secret", "a")).not.toEqual(deriveLoginKey("secret", "b"));
});
