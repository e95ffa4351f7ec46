import { expect, test } from "bun:test";
import { decodeDoorFrame, encodeDoorFrame } from "../../../src/roles/proxy/door-frame.ts";

const cookie = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);

test.each(["203.0.113.9", "0.0.0.0", "2001:db8::7", "::1", "::fffe:0:1", "::"])(
  "a datagram of a client at %s comes back as it was, behind 30 bytes",
  (address) => {
    const frame = { connection: 0xfedc_ba98, address, datagram: Uint8Array.of(0xc3, 9, 9) };
    const bytes = encodeDoorFrame(cookie, frame);
    expect(bytes).toHaveLength(33);
    expect(decodeDoorFrame(cookie, bytes)).toEqual(frame);
    // In whatever memory it stands.
    const within = Buffer.concat([Uint8Array.of(7), bytes]).subarray(1);
    expect(decodeDoorFrame(cookie, within)).toMatchObject({ connection: 0xfedc_ba98, address });
  },
);

test("looks like this", () => {
  const frame = { connection: 5, address: "10.0.0.1", datagram: Uint8Array.of(0xc3) };
  expect(Buffer.from(encodeDoorFrame(cookie, frame)).toString("hex")).toBe(
    "01020304050607080000000500000000000000000000ffff0a0000010000c3",
  );
});

test("nothing behind it says that the connection is gone", () => {
  const frame = { connection: 1, address: "10.0.0.1", datagram: new Uint8Array(0) };
  expect(decodeDoorFrame(cookie, encodeDoorFrame(cookie, frame))).toEqual(frame);
});

test("without the cookie, or shorter, it is nobody's", () => {
  const frame = { connection: 1, address: "10.0.0.1", datagram: Uint8Array.of(0xc3) };
  const bytes = encodeDoorFrame(cookie, frame);
  for (let at = 0; at < cookie.byteLength; at++) {
    const damaged = bytes.slice();
    damaged[at] = (damaged[at] ?? 0) ^ 1;
    expect(decodeDoorFrame(cookie, damaged)).toBeNull();
  }
  for (let length = 0; length < 30; length++)
    expect(decodeDoorFrame(cookie, bytes.subarray(0, length))).toBeNull();
});
