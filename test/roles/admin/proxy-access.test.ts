import { expect, test } from "bun:test";
import { checkProxyAddress } from "../../../src/roles/admin/proxy-access.ts";
import { parseAddress } from "../../../src/roles/client/vault/address.ts";

test.each(["vault.example.com:443", "Vault.Example.COM:443", "192.0.2.1:443", "[fdaa::3]:443"])(
  "%s is handed on as it was given",
  (address) => {
    expect(checkProxyAddress(address)).toBe(address);
  },
);

// An entry that its owner's client refuses is of no use to anybody.
test.each([
  "[::::]:443",
  "[fe80::1%eth0]:443",
  "999.1.1.1:443",
  "1.2.3:443",
  "a..b:443",
  `${"a".repeat(64)}.net:443`,
])("%s, which no client can dial, is refused", (address) => {
  expect(parseAddress(address)).toBeUndefined();
  expect(() => checkProxyAddress(address)).toThrow("--proxy takes HOST:PORT");
});
