import { expect, test } from "bun:test";
import {
  bindSocket,
  boundAddress,
  closeSocket,
  type DatagramAddress,
  openDatagramSocket,
  setSocketOption,
  socketOptions,
} from "../../src/system/datagram-socket.ts";
import {
  attachChooser,
  attachFilter,
  detachFilter,
  filterCodes,
} from "../../src/system/packet-filter.ts";
import { ReceiveBatch } from "../../src/system/receive-batch.ts";
import { connectedPeer, type SendTarget, SendVector } from "../../src/system/send-vector.ts";
import { DatagramPair, memory, receiveSlots, targetAt } from "./datagram-stage.ts";

test("a filter sees the datagram behind a UDP header of 8 bytes, and its whole length", () => {
  using pair = new DatagramPair("127.0.0.1");
  attachFilter(pair.receiver, [
    [filterCodes.loadByte, 0, 0, 8],
    [filterCodes.jumpIfEqual, 0, 3, 7],
    [filterCodes.loadLength, 0, 0, 0],
    [filterCodes.jumpIfAtLeast, 0, 1, 8 + 3],
    [filterCodes.result, 0, 0, 0xffff_ffff],
    [filterCodes.result, 0, 0, 0],
  ]);
  for (const bytes of [[7, 1], [6, 1, 1], [7, 2, 2], [7]]) send(pair.sender, connectedPeer, bytes);
  detachFilter(pair.receiver);
  send(pair.sender, connectedPeer, [1]);
  pair.receive(8, 2);
  expect(pair.contents.flat()).toEqual([[7, 2, 2], [1]]);
});

test("a chooser puts a datagram into one of the sockets that share a port", () => {
  const one = openShared({ host: "127.0.0.1", port: 0 });
  attachChooser(one, [
    [filterCodes.loadByte, 0, 0, 0],
    [filterCodes.jumpIfAnyBit, 0, 1, 0x40],
    [filterCodes.result, 0, 0, 0],
    [filterCodes.result, 0, 0, 1],
  ]);
  const other = openShared(boundAddress(one));
  const sender = openDatagramSocket(4);
  for (const byte of [0x0b, 0x41, 0x0b]) send(sender, targetAt(boundAddress(one).port), [byte]);
  const batch = new ReceiveBatch({ slots: 8, withSources: false });
  expect(receiveSlots(batch, one, 1)).toBe(1);
  expect(batch.byteAt(batch.offsetAt(0))).toBe(0x41);
  expect(receiveSlots(batch, other, 2)).toBe(2);
  for (const fd of [one, other, sender]) closeSocket(fd);
});

function openShared(address: DatagramAddress): number {
  const fd = openDatagramSocket(4);
  setSocketOption(fd, socketOptions.sharePort, 1);
  bindSocket(fd, address);
  return fd;
}

function send(from: number, target: SendTarget, bytes: readonly number[]): void {
  const vector = new SendVector(() => undefined);
  const sent = memory(...bytes);
  vector.add(target, sent.address, bytes.length, bytes.length);
  vector.flush(from);
}
