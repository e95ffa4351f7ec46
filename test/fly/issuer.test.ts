import { describe, expect, test } from "bun:test";
import { checkIssuer, flyIssuer, IssuerError, jwksUrl } from "../../src/fly/issuer.ts";

describe("checkIssuer", () => {
  for (const issuer of [
    "https://oidc.fly.io/acme",
    "https://issuer.example",
    "http://127.0.0.1:4280/local",
    "http://127.1.2.3/local",
    "http://localhost:4280/local",
    "http://[::1]:4280/local",
  ]) {
    test(`takes ${issuer}`, () => {
      expect(checkIssuer(issuer)).toBe(issuer);
      expect(jwksUrl(issuer)).toBe(`${issuer}/.well-known/jwks`);
    });
  }

  for (const issuer of [
    "http://oidc.fly.io/acme",
    "http://127.0.0.1.evil.example/acme",
    "http://127.evil.example/acme",
    "http://localhost.evil.example/acme",
    "http://10.0.0.1/acme",
    "http://127.0.0.1@evil.example/acme",
    "https://user:word@oidc.fly.io/acme",
    "https://oidc.fly.io/acme/",
    "https://oidc.fly.io/acme?x=1",
    "https://oidc.fly.io/acme#x",
    "https://oidc.fly.io/acme?",
    "ftp://oidc.fly.io/acme",
    "file:///etc/passwd",
    "oidc.fly.io/acme",
    "https://oidc.fly.io/acme\u001b[2J",
    "https://oidc\n.fly.io/acme",
    " https://oidc.fly.io/acme",
    "https://oidc.fly.io/\u202Eacme",
    "",
  ]) {
    test(`refuses ${issuer === "" ? "nothing" : JSON.stringify(issuer)}`, () => {
      expect(() => checkIssuer(issuer)).toThrow(IssuerError);
    });
  }
});

test("flyIssuer keeps an organisation within its place", () => {
  expect(flyIssuer("acme")).toBe("https://oidc.fly.io/acme");
  expect(flyIssuer("../evil?x")).toBe("https://oidc.fly.io/..%2Fevil%3Fx");
});
