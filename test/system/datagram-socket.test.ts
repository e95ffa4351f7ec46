import { expect, test } from "bun:test";
import {
  bindSocket,
  boundAddress,
  closeSocket,
  connectSocket,
  openDatagramSocket,
  receiveBufferBytes,
  setBufferBytes,
} from "../../src/system/datagram-socket.ts";
import { SystemError } from "../../src/system/libc.ts";

test.each([
  ["127.3.2.1", 4],
  ["::1", 6],
] as const)("boundAddress tells what bindSocket was told (%s)", (host, family) => {
  const fd = openDatagramSocket(family);
  bindSocket(fd, { host, port: 0 });
  const { host: bound, port } = boundAddress(fd);
  expect(bound).toBe(host);
  expect(port).toBeGreaterThan(0);
  const other = openDatagramSocket(family);
  expect(() => bindSocket(other, { host, port })).toThrow(/^bind .+: EADDRINUSE$/);
  closeSocket(fd);
  bindSocket(other, { host, port });
  closeSocket(other);
});

test("a socket for IPv6 leaves the port of IPv4 alone", () => {
  const six = openDatagramSocket(6);
  bindSocket(six, { host: "::", port: 0 });
  const four = openDatagramSocket(4);
  bindSocket(four, { host: "0.0.0.0", port: boundAddress(six).port });
  closeSocket(six);
  closeSocket(four);
});

test("receiveBufferBytes says what setBufferBytes came to", () => {
  const fd = openDatagramSocket(4);
  setBufferBytes(fd, 100_000, 100_000);
  expect(receiveBufferBytes(fd)).toBe(100_000);
  closeSocket(fd);
});

test("connectSocket says why it cannot", () => {
  const fd = openDatagramSocket(4);
  let code = "";
  try {
    connectSocket(fd, { host: "255.255.255.255", port: 1 });
  } catch (error) {
    code = error instanceof SystemError ? error.code : "";
  }
  closeSocket(fd);
  expect(["EACCES", "ENETUNREACH"]).toContain(code);
  expect(() => openDatagramSocket(4) && connectSocket(-1, { host: "::1", port: 1 })).toThrow(
    "EBADF",
  );
});
