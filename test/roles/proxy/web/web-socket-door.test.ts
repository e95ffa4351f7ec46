import { beforeEach, expect, test } from "bun:test";
import { decodeDoorFrame, encodeDoorFrame } from "../../../../src/roles/proxy/door-frame.ts";
import { clientAddress, networkOf } from "../../../../src/roles/proxy/web/web-client-address.ts";
import { webLines } from "../../../../src/roles/proxy/web/web-lines.ts";
import { webLimits } from "../../../../src/roles/proxy/web/web-limits.ts";
import {
  type DoorConnection,
  WebSocketDoor,
} from "../../../../src/roles/proxy/web/web-socket-door.ts";

/** The door without sockets, with a clock of its own. */

const cookie = new Uint8Array(8).fill(1);
let nowMs: number;
let hasRoom: boolean;
let frames: { readonly connection: number; readonly bytes: number }[];
let door: WebSocketDoor;

beforeEach(() => {
  nowMs = 1000;
  hasRoom = true;
  frames = [];
  door = new WebSocketDoor({
    cookie,
    firstNumber: 0xffff_ffff,
    nowMs: () => nowMs,
    send: (frame) => {
      const { connection, datagram } = decodeDoorFrame(cookie, frame)!;
      frames.push({ connection, bytes: datagram.byteLength });
      return hasRoom;
    },
  });
});

class Socket {
  readonly sent: number[] = [];
  bufferedBytes = 0;
  closedWith: number | undefined;
  send = (datagram: Uint8Array): void => void this.sent.push(datagram.byteLength);
  close = (code: number): void => {
    this.closedWith = code;
  };
}

function open(address = "192.0.2.1"): { connection: DoorConnection; socket: Socket } {
  const connection = door.admit(address);
  if (typeof connection === "string") throw new Error(connection);
  const socket = new Socket();
  door.opened(connection, socket);
  return { connection, socket };
}

function answer({ number }: DoorConnection, bytes = 30): void {
  const datagram = new Uint8Array(bytes);
  door.fromRelay(encodeDoorFrame(cookie, { connection: number, address: "0.0.0.0", datagram }));
}

test("numbers count on from the first, and none is given twice", () => {
  const numbers = [open(), open(), open()].map(({ connection }) => connection.number);
  expect(numbers).toEqual([0xffff_ffff, 0, 1]);
});

test("without any answer of the relay a client has ten seconds, with one it stays", () => {
  const [one, other] = [open(), open()];
  nowMs += webLimits.unadmittedMs - 1;
  answer(other.connection);
  door.sweep();
  expect([one.socket.closedWith, other.socket.closedWith]).toEqual([undefined, undefined]);
  nowMs += 1;
  door.sweep();
  expect([one.socket.closedWith, other.socket.closedWith]).toEqual([1008, undefined]);
  expect(frames).toEqual([{ connection: one.connection.number, bytes: 0 }]);
  expect(door.gauges).toEqual({ web_connections: 1, web_unadmitted: 0 });
  // What its socket says later is nothing new.
  door.closed(one.connection);
  door.receive(one.connection, new Uint8Array(9));
  expect(frames).toHaveLength(1);
});

test("a client that is silent for three minutes goes, whatever is sent to it", () => {
  const { connection, socket } = open();
  answer(connection);
  nowMs += webLimits.idleMs - 1;
  door.receive(connection, new Uint8Array(5));
  answer(connection);
  nowMs += webLimits.idleMs - 1;
  answer(connection);
  door.sweep();
  expect(socket.closedWith).toBeUndefined();
  nowMs += 1;
  door.sweep();
  expect(socket.closedWith).toBe(1008);
  expect(door.counters.values.web_closed_idle).toBe(1);
});

test("a client that the relay has nothing for goes as well, whatever it sends", () => {
  const { connection, socket } = open();
  answer(connection);
  nowMs += webLimits.idleMs - 1;
  door.receive(connection, new Uint8Array(5));
  door.sweep();
  expect(socket.closedWith).toBeUndefined();
  nowMs += 1;
  door.sweep();
  expect(socket.closedWith).toBe(1008);
  expect(door.counters.values.web_closed_idle).toBe(1);
});

test("a stranger may send what a first flight takes, and not more", () => {
  const { connection } = open();
  for (let sent = 0; sent < 10_000; sent++) door.receive(connection, new Uint8Array(1));
  expect(frames).toHaveLength(webLimits.strangersBurst);
  nowMs += 1000;
  for (let sent = 0; sent < 10_000; sent++) door.receive(connection, new Uint8Array(1));
  expect(frames).toHaveLength(webLimits.strangersBurst + webLimits.strangersPerSecond);
});

test("many clients that do not read cost no more together than a few, and others go on", () => {
  const slow = Array.from({ length: 200 }, (_, at) => open(`10.0.${at}.1`));
  const other = open();
  for (const { connection, socket } of slow) {
    socket.send = () => {
      socket.bufferedBytes += 16_384;
    };
    for (let count = 0; count < 100; count++) answer(connection, 16_384);
  }
  const total = slow.reduce((sum, { socket }) => sum + socket.bufferedBytes, 0);
  const { bufferedBytesMax, bufferedBytesShort, bufferedBytesTotalMax } = webLimits;
  expect(total).toBeGreaterThan(bufferedBytesTotalMax);
  expect(total).toBeLessThan(
    bufferedBytesTotalMax + bufferedBytesMax + slow.length * (bufferedBytesShort + 16_384),
  );
  answer(other.connection);
  expect(other.socket.sent).toEqual([30]);
  // What was read in the meantime, or had to go, is room again.
  for (const { socket } of slow.slice(0, 100)) socket.bufferedBytes = 0;
  for (const { connection } of slow.slice(100)) door.closed(connection);
  door.sweep();
  other.socket.bufferedBytes = bufferedBytesMax - 1;
  answer(other.connection);
  expect(other.socket.sent).toEqual([30, 30]);
});

test("who pings and reads no pongs has to go", () => {
  const { connection, socket } = open();
  door.pinged(connection);
  socket.bufferedBytes = webLimits.bufferedBytesShort;
  door.pinged(connection);
  expect(socket.closedWith).toBeUndefined();
  socket.bufferedBytes += 1;
  door.pinged(connection);
  expect(socket.closedWith).toBe(1003);
});

test("one address, or one /64, has only so many places, and gets them back", () => {
  const max = webLimits.connectionsPerNetworkMax;
  const opened = Array.from({ length: max }, (_, at) => open(`2001:db8::${at + 1}`));
  expect(door.admit("2001:db8:0:0:ffff::1")).toBe("network");
  expect(door.admit("2001:db8:0:1::1")).toBeObject();
  door.closed(opened[0]!.connection);
  expect(door.admit("2001:db8::abcd")).toBeObject();
  expect(door.admit("2001:db8::abce")).toBe("network");
  expect(door.counters.values.web_refused_network).toBe(2);
});

test("who was admitted keeps his place: with all of them taken the next one is refused", () => {
  for (let at = 0; at < webLimits.connectionsMax; at++)
    answer(open(`10.0.${at >> 6}.1`).connection);
  expect(door.admit("192.0.2.1")).toBe("full");
  expect(door.gauges["web_connections"]).toBe(webLimits.connectionsMax);
});

test("those who were not admitted crowd out one another alone, the oldest first", () => {
  const admitted = open("192.0.2.9");
  answer(admitted.connection);
  const strangers = Array.from({ length: webLimits.unadmittedMax }, (_, at) =>
    open(`10.0.${at >> 6}.1`),
  );
  open();
  expect(strangers.filter(({ socket }) => socket.closedWith !== undefined)).toEqual([
    strangers[0]!,
  ]);
  expect(admitted.socket.closedWith).toBeUndefined();
  expect(door.gauges["web_unadmitted"]).toBe(webLimits.unadmittedMax);
  // Gone before its WebSocket was there.
  const late = door.admit("10.1.1.1") as DoorConnection;
  door.drain();
  const socket = new Socket();
  door.opened(late, socket);
  expect(socket.closedWith).toBe(1008);
});

test("a client that does not read costs a mebibyte, one that floods its own share", () => {
  const { connection, socket } = open();
  socket.bufferedBytes = webLimits.bufferedBytesMax;
  answer(connection);
  socket.bufferedBytes += 1;
  answer(connection);
  expect(socket.sent).toEqual([30]);
  expect(door.counters.values.web_dropped_buffered).toBe(1);

  const flood = (): number => {
    const before = frames.length;
    for (let sent = 0; sent < 2 * webLimits.datagramsBurst; sent++)
      door.receive(connection, new Uint8Array(1));
    return frames.length - before;
  };
  expect(flood()).toBe(webLimits.datagramsBurst);
  nowMs += 100;
  expect(flood()).toBe(webLimits.datagramsPerSecond / 10);
  hasRoom = false;
  nowMs += 1;
  const inOneMs = webLimits.datagramsPerSecond / 1000;
  expect(flood()).toBe(inOneMs);
  expect(door.counters.values.web_dropped_door).toBe(inOneMs);
});

test("frames that are short, foreign or for nobody change nothing", () => {
  const { connection, socket } = open();
  const good = encodeDoorFrame(cookie, {
    connection: connection.number,
    address: "0.0.0.0",
    datagram: new Uint8Array(3),
  });
  for (let cut = 0; cut < 30; cut++) door.fromRelay(good.slice(0, cut));
  for (let bit = 0; bit < 64; bit++) {
    const damaged = good.slice();
    damaged[bit >> 3]! ^= 1 << (bit & 7);
    door.fromRelay(damaged);
  }
  answer({ ...connection, number: 77 });
  expect(socket.sent).toEqual([]);
  expect(door.gauges["web_unadmitted"]).toBe(1);
});

test.each([
  ["10.1.2.3", null, "10.1.2.3"],
  ["::ffff:10.1.2.3", null, "10.1.2.3"],
  ["172.16.0.2", "2001:DB8:0::1", "2001:db8::1"],
  ["172.16.0.2", " 198.51.100.7 ", "198.51.100.7"],
  ["172.16.0.2", "::ffff:198.51.100.7", "198.51.100.7"],
  ["172.16.0.2", "198.51.100.7, 1.2.3.4", "172.16.0.2"],
  ["172.16.0.2", "fe80::1%eth0", "172.16.0.2"],
  ["172.16.0.2", "", "172.16.0.2"],
  ["fdaa:0:1::3", "198.51.100.7", "fdaa:0:1::3"],
  ["", null, "0.0.0.0"],
])("behind the edge %s with the header %j is %s", (socket, header, address) => {
  expect(clientAddress(socket, header, true)).toBe(address);
  expect(clientAddress("10.9.9.9", header, false)).toBe("10.9.9.9");
});

test("networks are addresses of IPv4 and the upper half of IPv6", () => {
  expect(networkOf("192.0.2.1")).toBe("192.0.2.1");
  expect(networkOf("2001:db8:1:2:3:4:5:6")).toBe("2001:db8:1:2::");
});

async function* inChunks(chunks: readonly string[]): AsyncIterable<Uint8Array> {
  for (const chunk of chunks) yield new TextEncoder().encode(chunk);
}

async function read(...chunks: string[]): Promise<string[]> {
  return Array.fromAsync(webLines(inChunks(chunks), 10));
}

test("lines come whole however they are cut, and not without end", async () => {
  expect(await read("a\nb", "c\n", "\nrest")).toEqual(["a", "bc", ""]);
  expect(read("12345678901")).rejects.toThrow("A line of more than 10 bytes");
});
