import { expect, test } from "bun:test";
import { defaultApiBase, isApiBase, isAppName } from "../../src/fly/api-target.ts";

test.each([
  defaultApiBase,
  "https://proxy.example:8443/fly/",
  "http://127.0.0.1:4280",
  "http://localhost",
  "http://[::1]:80",
  "http://_api.internal:4280",
])("a token may be sent to %s", (text) => {
  expect(isApiBase(text)).toBe(true);
});

test.each([
  "http://api.machines.dev",
  "http://127.0.0.1.example",
  "http://internal",
  "ftp://localhost",
  "https://user@api.machines.dev",
  "https://api.machines.dev/?q=1",
  "api.machines.dev",
  "",
])("a token may not be sent to %p", (text) => {
  expect(isApiBase(text)).toBe(false);
});

test("isAppName: Fly's alphabet and length", () => {
  for (const name of ["a", "vault-tenants", "0".repeat(62)]) expect(isAppName(name)).toBe(true);
  for (const name of ["", "-a", "A", "a/b", "a.b", "0".repeat(63)])
    expect(isAppName(name)).toBe(false);
});
