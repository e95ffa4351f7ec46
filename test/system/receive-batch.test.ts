import { expect, test } from "bun:test";
import { constants } from "node:os";
import { connectedPeer, SendVector } from "../../src/system/send-vector.ts";
import { DatagramPair, memory } from "./datagram-stage.ts";

test("receive appends until the slots are full, and clear makes room", () => {
  using pair = new DatagramPair("127.0.0.1");
  send(pair, 10);
  expect(pair.receive(3, 3)).toBe(3);
  expect(pair.receive(64, 5)).toBe(5);
  expect(pair.batch.isFull).toBe(true);
  expect(pair.contents.flat(2)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  pair.batch.clear();
  expect(pair.receive(64, 2)).toBe(2);
  expect(pair.contents.flat(2)).toEqual([8, 9]);
});

test("nothing to receive is an errno below zero", () => {
  using pair = new DatagramPair("127.0.0.1");
  expect(pair.batch.receive(pair.receiver, 8)).toBe(-constants.errno.EAGAIN);
});

test("the source is told as the kernel writes it", () => {
  using pair = new DatagramPair("127.0.0.1");
  send(pair, 1);
  pair.receive(1);
  expect(pair.batch.sourceWordAt(0, 0) & 0xffff).toBe(2);
  expect(pair.batch.sourceWordAt(0, 1)).toBe(0x0100_007f);
  using other = new DatagramPair("::1");
  send(other, 1);
  other.receive(1);
  expect(other.batch.sourceWordAt(0, 0) & 0xffff).toBe(10);
  expect(other.batch.sourceWordAt(0, 5)).toBe(0x0100_0000);
});

test("joined and plain datagrams in the same slot, one after the other, are told apart", () => {
  using pair = new DatagramPair("127.0.0.1", { joined: true });
  const vector = new SendVector(() => undefined);
  const { address } = memory(1, 2, 3, 4);
  for (const [bytes, segment] of [
    [4, 2],
    [4, 4],
    [4, 1],
  ] as const) {
    vector.add(connectedPeer, address, bytes, segment);
    vector.flush(pair.sender);
    pair.receive(1);
    expect(pair.batch.segmentBytesAt(0)).toBe(segment);
    pair.batch.clear();
  }
});

test("viewAt gives the same object for the same piece of memory, but keeps no end of them", () => {
  using pair = new DatagramPair("127.0.0.1");
  const { batch } = pair;
  const first = batch.viewAt(0, 10);
  expect(batch.viewAt(0, 10)).toBe(first);
  expect(batch.viewAt(0, 11)).not.toBe(first);
  for (let bytes = 0; bytes < 10_000; bytes++) batch.viewAt(64, bytes);
  expect(batch.viewAt(0, 10)).not.toBe(first);
  expect(batch.viewAt(0, 10)).toEqual(first);
});

function send(pair: DatagramPair, count: number): void {
  const vector = new SendVector(() => undefined);
  const sent = memory(...Array.from({ length: count }, (_, index) => index));
  for (let index = 0; index < count; index++) {
    vector.add(connectedPeer, sent.address + index, 1, 1);
    vector.flush(pair.sender);
  }
}
