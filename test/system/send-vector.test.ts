import { expect, test } from "bun:test";
import fc from "fast-check";
import { constants } from "node:os";
import { ptr } from "bun:ffi";
import {
  bindSocket,
  boundAddress,
  closeSocket,
  connectSocket,
  openDatagramSocket,
} from "../../src/system/datagram-socket.ts";
import { connectedPeer, type SendTarget, SendVector } from "../../src/system/send-vector.ts";
import { seeded } from "../support/seed.ts";
import { DatagramPair, memory, targetAt } from "./datagram-stage.ts";

const never = (errno: number): void => {
  throw new Error(`errno ${errno}`);
};

test.each(["127.0.0.1", "::1"])("runs of one size leave joined and arrive joined (%s)", (host) => {
  using pair = new DatagramPair(host, { joined: true });
  const vector = new SendVector(never);
  const apart = [memory(1, 1), memory(2, 2), memory(3), memory(4), memory(5, 5, 5), memory(6)];
  for (const { address, bytes } of apart)
    expect(vector.add(connectedPeer, address, bytes.length, bytes.length)).toBe(true);
  expect(vector.flush(pair.sender)).toBe(true);
  expect(pair.receive(8, 3)).toBe(3);
  // A shorter one ends a run, whatever comes next.
  expect(pair.contents).toEqual([[[1, 1], [2, 2], [3]], [[4]], [[5, 5, 5], [6]]]);
});

test("a socket that does not join gets every datagram by itself", () => {
  using pair = new DatagramPair("127.0.0.1");
  const vector = new SendVector(never);
  const { address } = memory(1, 2, 3, 4, 5);
  vector.add(connectedPeer, address, 5, 2);
  vector.flush(pair.sender);
  expect(pair.receive(8, 3)).toBe(3);
  expect(pair.contents).toEqual([[[1, 2]], [[3, 4]], [[5]]]);
});

test("each target gets its own, whatever order they were added in", () => {
  using one = new DatagramPair("127.0.0.1");
  using other = new DatagramPair("127.0.0.1");
  const vector = new SendVector(never);
  const { address } = memory(1, 2, 3);
  const targets = [targetAt(one.address.port), targetAt(other.address.port)] as const;
  const sender = openDatagramSocket(4);
  vector.add(targets[0], address, 1, 1);
  vector.add(targets[1], address + 1, 1, 1);
  vector.add(targets[0], address + 2, 1, 1);
  expect(vector.flush(sender)).toBe(true);
  closeSocket(sender);
  one.receive(8, 2);
  other.receive(8);
  expect(one.contents).toEqual([[[1]], [[3]]]);
  expect(other.contents).toEqual([[[2]]]);
});

test("a prefix goes before each datagram", () => {
  using pair = new DatagramPair("127.0.0.1");
  const prefix = memory(9, 9);
  const target: SendTarget = {
    writeAddress: () => 0,
    prefixAddress: prefix.address,
    prefixBytes: 2,
  };
  const vector = new SendVector(never);
  const { address } = memory(1, 2);
  vector.add(target, address, 1, 1);
  vector.add(target, address + 1, 1, 1);
  vector.flush(pair.sender);
  pair.receive(8, 2);
  expect(pair.contents).toEqual([[[9, 9, 1]], [[9, 9, 2]]]);
});

test("no more than 64 datagrams or 65 000 bytes leave as one", () => {
  using pair = new DatagramPair("127.0.0.1", { joined: true });
  const vector = new SendVector(never);
  const big = new Uint8Array(new ArrayBuffer(80 * 1200));
  for (let index = 0; index < 70; index++) vector.add(connectedPeer, ptr(big) + index, 1, 1);
  expect(vector.flush(pair.sender)).toBe(true);
  expect(pair.receive(8, 2)).toBe(2);
  expect(pair.contents.map((datagrams) => datagrams.length)).toEqual([64, 6]);
  pair.batch.clear();
  for (let index = 0; index < 60; index++)
    vector.add(connectedPeer, ptr(big) + index * 1200, 1200, 1200);
  expect(vector.flush(pair.sender)).toBe(true);
  expect(pair.receive(8, 2)).toBe(2);
  expect(pair.contents.map((datagrams) => datagrams.length)).toEqual([54, 6]);
});

test("what is too big for the kernel is lost alone", () => {
  using pair = new DatagramPair("127.0.0.1");
  const lost: [number, number][] = [];
  const vector = new SendVector((errno, datagrams) => lost.push([errno, datagrams]));
  const big = new Uint8Array(new ArrayBuffer(66_000));
  vector.add(connectedPeer, ptr(big), 65_900, 65_900);
  vector.add(connectedPeer, ptr(big), 3, 3);
  expect(vector.flush(pair.sender)).toBe(true);
  expect(lost).toEqual([[constants.errno.EMSGSIZE, 1]]);
  expect(pair.receive(8)).toBe(1);
});

test("an answer to an earlier datagram does not cost the next one", () => {
  const closed = openDatagramSocket(4);
  bindSocket(closed, { host: "127.0.0.1", port: 0 });
  const address = boundAddress(closed);
  closeSocket(closed);
  const sender = openDatagramSocket(4);
  connectSocket(sender, address);
  const vector = new SendVector(never);
  const sent = memory(7);
  vector.add(connectedPeer, sent.address, 1, 1);
  expect(vector.flush(sender)).toBe(true);
  // On loopback the refusal is there at once.
  const receiver = openDatagramSocket(4);
  bindSocket(receiver, address);
  vector.add(connectedPeer, sent.address, 1, 1);
  expect(vector.flush(sender)).toBe(true);
  closeSocket(sender);
  closeSocket(receiver);
});

test("add says when there is no room", () => {
  using pair = new DatagramPair("127.0.0.1");
  const vector = new SendVector(never);
  const { address } = memory(1);
  const targets = Array.from({ length: 65 }, () => targetAt(pair.address.port));
  const taken = targets.map((target) => vector.add(target, address, 1, 1));
  expect(taken.filter((was) => !was)).toEqual([false]);
  expect(vector.flush(pair.sender)).toBe(true);
  expect(vector.add(connectedPeer, address, 1, 1)).toBe(true);
});

test("whatever the sizes and targets, each receiver gets what was meant for it, in order", () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(1), fc.constantFrom(1, 2, 3, 7, 40), fc.boolean()), {
        minLength: 1,
        maxLength: 700,
        size: "max",
      }),
      fc.boolean(),
      (sent, joined) => {
        using one = new DatagramPair("127.0.0.1", { joined });
        using other = new DatagramPair("127.0.0.1", { joined });
        const pairs = [one, other] as const;
        const targets = pairs.map(({ address }) => targetAt(address.port));
        const bytes = new Uint8Array(new ArrayBuffer(80 * sent.length));
        const expected: number[][][] = [[], []];
        const vector = new SendVector(never);
        const socket = openDatagramSocket(4);
        let end = 0;
        for (const [index, [which, length, isApart]] of sent.entries()) {
          // Side by side, or with a gap.
          const at = isApart ? end + 1 : end;
          end = at + length;
          bytes.fill(index % 251, at, end);
          expected[which]?.push([...bytes.subarray(at, end)]);
          const target = targets[which] ?? connectedPeer;
          while (!vector.add(target, ptr(bytes) + at, length, length)) vector.flush(socket);
        }
        vector.flush(socket);
        closeSocket(socket);
        const received = pairs.map((pair, which) => receiveAll(pair, expected[which]?.length ?? 0));
        expect(received).toEqual(expected);
      },
    ),
    seeded(60),
  );
});

/** So many, and what there is besides. */
function receiveAll(pair: DatagramPair, count: number): number[][] {
  const all: number[][] = [];
  while (all.length < count ? pair.receive(8) > 0 : pair.batch.receive(pair.receiver, 8) > 0) {
    all.push(...pair.contents.flat());
    pair.batch.clear();
  }
  return all;
}
