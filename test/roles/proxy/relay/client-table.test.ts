import { expect, test } from "bun:test";
import type { SourceWords, UdpClient } from "../../../../src/roles/proxy/relay/client.ts";
import { ClientTable } from "../../../../src/roles/proxy/relay/client-table.ts";
import { ClientWay } from "../../../../src/roles/proxy/relay/client-way.ts";
import { RelayCounters } from "../../../../src/roles/proxy/relay-counters.ts";
import { addressBytes } from "../../../../src/system/ip-address.ts";

const way = new ClientWay(-1, new RelayCounters());

test("a source of IPv4 is a number that the network is part of", () => {
  const client = new ClientTable(way, 0, 1).create(sourceOf("192.0.2.7", 4433), 0);
  expect(client.network).toBe(0xc000_0207);
  expect(client.key).toBe(0xc000_0207 * 65_536 + 4433);
  expect(new ClientTable(way, 1, 1).create(sourceOf("192.0.2.7", 4433), 0).key).not.toBe(
    client.key,
  );
});

test("the network of IPv6 is a /64, and the key tells ports, zones and doors apart", () => {
  const table = new ClientTable(way, 0, 1);
  const near = ["2001:db8::1", "2001:db8::2:3"].map((host) => table.create(sourceOf(host, 1), 0));
  expect(near[0]?.network).toBe(near[1]?.network ?? "");
  expect(near[0]?.network).not.toBe(table.create(sourceOf("2001:db8:0:1::1", 1), 0).network);
  const keys = [
    table.create(sourceOf("fe80::1", 1, 2), 0).key,
    table.create(sourceOf("fe80::1", 1, 3), 0).key,
    table.create(sourceOf("fe80::1", 2, 2), 0).key,
    new ClientTable(way, 1, 1).create(sourceOf("fe80::1", 1, 2), 0).key,
  ];
  expect(new Set(keys).size).toBe(4);
});

test("a client is found again by its address, until it is removed", () => {
  const table = new ClientTable(way, 0, 7);
  const sources = [
    sourceOf("127.0.0.1", 1),
    sourceOf("127.0.0.1", 2),
    sourceOf("::1", 1),
    sourceOf("::1", 2),
    // Only the zone differs, and the hash does not know it.
    sourceOf("fe80::1", 9, 1),
    sourceOf("fe80::1", 9, 2),
    sourceOf("fe80::1", 9, 3),
  ];
  expect(sources.map((source) => table.find(source, 0))).toEqual(sources.map(() => undefined));
  const clients = sources.map((source) => table.create(source, 0));
  for (const client of clients) client.remember();
  for (const client of clients) client.remember();
  expect(sources.map((source) => table.find(source, 0))).toEqual(clients);
  for (const index of [5, 4, 0, 2, 6, 3, 1]) {
    const client = clients[index] as UdpClient;
    client.forget();
    client.forget();
    clients.splice(index, 1, undefined as never);
    expect(sources.map((source) => table.find(source, 0))).toEqual(clients);
  }
  expect(table.size).toBe(0);
});

test("an address is written back as it came", () => {
  for (const source of [sourceOf("192.0.2.7", 4433), sourceOf("fe80::1", 9, 2)]) {
    const words = new Uint32Array(12);
    const bytes = new ClientTable(way, 0, 1).create(source, 0).writeAddress(words, 2);
    const expected = Array.from({ length: bytes / 4 }, (_, word) => source.sourceWordAt(0, word));
    expect([...words.subarray(2, 2 + bytes / 4)]).toEqual(expected);
  }
});

/** As a batch has it in memory. */
function sourceOf(host: string, port: number, zone = 0): SourceWords {
  const raw = addressBytes(host);
  const bytes = new DataView(new ArrayBuffer(32));
  bytes.setUint16(0, raw.byteLength === 4 ? 2 : 10, true);
  bytes.setUint16(2, port);
  new Uint8Array(bytes.buffer).set(raw, raw.byteLength === 4 ? 4 : 8);
  bytes.setUint32(24, zone, true);
  return { sourceWordAt: (_slot, word) => bytes.getUint32(4 * word, true) };
}
