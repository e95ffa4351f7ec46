import { expect, test } from "bun:test";
import { ListenError, resolveListenAddress } from "../../src/system/listen-address.ts";

test("resolveListenAddress: IPv4, IPv6 in brackets, names", async () => {
  expect(await resolveListenAddress(" 127.0.0.1:0 ")).toEqual({ host: "127.0.0.1", port: 0 });
  expect(await resolveListenAddress("[::1]:65535")).toEqual({ host: "::1", port: 65_535 });
  expect((await resolveListenAddress("localhost:1")).port).toBe(1);
});

test.each(["", "127.0.0.1", "::1:5", ":5", "127.0.0.1:65536", "127.0.0.1:x", "[]:5"])(
  "resolveListenAddress refuses %p",
  (text) => {
    expect(resolveListenAddress(text)).rejects.toThrow(ListenError);
  },
);

test("resolveListenAddress: a name that nobody knows", () => {
  expect(resolveListenAddress("no-such-name.invalid:1")).rejects.toThrow("does not resolve here");
});
