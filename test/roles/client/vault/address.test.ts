import { expect, test } from "bun:test";
import {
  parseAddress,
  resolveAddress,
  showAddress,
} from "../../../../src/roles/client/vault/address.ts";
import { rejection } from "../../../support/rejection.ts";

test.each([
  ["dev.example:8443", { host: "dev.example", port: 8443 }],
  ["[fdaa:0:1::3]:8443", { host: "fdaa:0:1::3", port: 8443 }],
  ["127.0.0.1:1", { host: "127.0.0.1", port: 1 }],
  ["my_host:65535", { host: "my_host", port: 65_535 }],
])("%s is an address", (text, address) => {
  expect(parseAddress(text)).toEqual(address);
  expect(showAddress(address)).toBe(text);
});

test.each([
  "",
  "host",
  "host:",
  ":1",
  "host:0",
  "host:65536",
  "host:1x",
  "::1:80",
  "[::1]",
  "[::1]80",
])("%j is none", (text) => {
  expect(parseAddress(text)).toBeUndefined();
});

test("numbers need no resolver, names give every address, unknown names are FV-NET-001", async () => {
  expect(await resolveAddress({ host: "::1", port: 5 })).toEqual([{ host: "::1", port: 5 }]);
  const local = await resolveAddress({ host: "localhost", port: 5 });
  expect(local.map(({ host }) => host)).toContain("127.0.0.1");
  const unknown = resolveAddress({ host: "nobody.invalid", port: 5 });
  expect(await rejection(unknown)).toMatchObject({ code: "FV-NET-001", exitCode: 6 });
});
