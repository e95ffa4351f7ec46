import { expect, test } from "bun:test";
import { GivenUp, type GivenUpStream, givenUpOf } from "../../src/quic/given-up.ts";
import { quicLimits } from "../../src/quic/limits.ts";
import { looseMessageBytes } from "../../src/quic/loose-message.ts";
import { openUdp } from "../../src/quic/udp-carrier.ts";
import { rejection } from "../support/rejection.ts";
import { seed } from "../support/seed.ts";
import { openPair, openPairOver } from "./pair.ts";
import { exchange, receiveAll } from "./transfer.ts";

const { givenUpMax, givenUpMs, givenUpTries } = quicLimits;

/** What was done about streams of a quiche without a peer. */
class Played {
  readonly done: string[] = [];
  readonly words: Omit<GivenUpStream, "byPeer">[] = [];
  readonly gone = new Set<number>();
  room = 10;
  readonly givenUp = new GivenUp(
    {
      streamRoom: (id) => {
        if (this.gone.has(id)) throw new Error(`InvalidStreamState(${id})`);
        if (this.room < 0) throw new Error("StreamStopped(0)");
        return this.room;
      },
      streamSend: (id, bytes, fin) => {
        this.done.push(`${id} ends with ${bytes.join()} ${fin}`);
        return bytes.length;
      },
      resetWriting: (id, code) => void this.done.push(`${id} reset ${code}`),
      stopReading: (id, code) => void this.done.push(`${id} stopped ${code}`),
    },
    (number) => this.words.push(givenUpOf(number)),
  );
}

function stream(id: number, more: Partial<GivenUpStream> = {}): GivenUpStream {
  return { id, code: 7, byPeer: false, hasEnded: false, ...more };
}

test("our half ends by a mark; the peer is told ever more rarely; then both are cut, and nothing is due", () => {
  const { givenUp, words, done } = new Played();
  givenUp.add(stream(8), 0, 1);
  let nowMs = 0;
  for (let told = 1; told <= givenUpTries; told++) {
    expect(words).toEqual(
      Array.from({ length: told }, () => ({ id: 8, code: 7, hasEnded: false })),
    );
    nowMs += givenUpMs * 2 ** (told - 1);
    expect(givenUp.dueMs).toBe(nowMs);
    givenUp.handleTimeout(nowMs - 1, () => 1);
    expect(done).toEqual(["8 ends with 1 true"]);
    givenUp.handleTimeout(nowMs, () => 1);
  }
  expect(words).toHaveLength(givenUpTries);
  expect(done.slice(1)).toEqual(["8 reset 7", "8 stopped 7"]);
  expect(givenUp.dueMs).toBe(Number.POSITIVE_INFINITY);
});

test("what is over on both sides is not told of again; a long line has two round trips for it", () => {
  const { givenUp, words, done, gone } = new Played();
  givenUp.add(stream(4), 0, 300);
  givenUp.add(stream(8), 10, 300);
  givenUp.handleTimeout(599, () => 300);
  expect(words).toHaveLength(2);
  gone.add(4);
  givenUp.handleTimeout(600, () => 300);
  expect(words).toHaveLength(2);
  expect(givenUp.dueMs).toBe(610);
  gone.add(8);
  givenUp.handleTimeout(610, () => 300);
  expect(done).toHaveLength(2);
  expect(givenUp.dueMs).toBe(Number.POSITIVE_INFINITY);
});

test("the mark waits for room; who heard the word says none; a half that has ended stays so", () => {
  const played = new Played();
  played.room = 0;
  played.givenUp.add(stream(4, { byPeer: true }), 0, 1);
  played.givenUp.add(stream(8, { hasEnded: true }), 0, 1);
  expect(played.words).toEqual([{ id: 8, code: 7, hasEnded: true }]);
  expect(played.done).toEqual([]);
  played.room = 1;
  played.givenUp.handleTimeout(givenUpMs, () => 1);
  played.givenUp.handleTimeout(3 * givenUpMs, () => 1);
  expect(played.done).toEqual(["4 ends with 1 true"]);
  for (let nowMs = 0; nowMs < 1e6; nowMs += 100) played.givenUp.handleTimeout(nowMs, () => 1);
  // What the peer gave up it resets itself, unless it had ended: then it is read to its end.
  expect(played.done.slice(1)).toEqual(["4 reset 7", "8 stopped 7"]);
});

test("one that the peer gave up first, and we then, is ended by us all the same", () => {
  const played = new Played();
  played.room = 0;
  played.givenUp.add(stream(4, { byPeer: true }), 0, 1);
  played.givenUp.add(stream(4, { hasEnded: true }), 0, 1);
  played.room = 1;
  played.givenUp.handleTimeout(givenUpMs, () => 1);
  expect(played.done).toEqual(["4 ends with 1 true"]);
});

test("our half of what the peer stopped is over, its own may not be", () => {
  const played = new Played();
  played.givenUp.add(stream(4), 0, 1);
  played.room = -1;
  for (let nowMs = 0; nowMs < 1e6; nowMs += 100) played.givenUp.handleTimeout(nowMs, () => 1);
  expect(played.words).toHaveLength(givenUpTries);
  expect(played.done.at(-1)).toBe("4 stopped 7");
});

test("what no word can say is cut at once, and so are more than there is room for", () => {
  const { givenUp, words, done } = new Played();
  givenUp.add(stream(4, { code: 2 ** 15 }), 0, 1);
  givenUp.add(stream(2 ** 48), 0, 1);
  const large = 2 ** 48;
  expect(done.splice(0)).toEqual([
    "4 reset 32768",
    "4 stopped 32768",
    `${large} reset 7`,
    `${large} stopped 7`,
  ]);
  givenUp.add(stream(large - 4, { code: 2 ** 15 - 1 }), 0, 1);
  expect(words).toEqual([{ id: large - 4, code: 2 ** 15 - 1, hasEnded: false }]);
  for (let id = 0; id < givenUpMax - 1; id++) givenUp.add(stream(4 * id), 0, 1);
  expect(done.splice(0).every((line) => line.endsWith("true"))).toBeTrue();
  givenUp.add(stream(4 * givenUpMax), 0, 1);
  expect(done).toEqual([`${4 * givenUpMax} reset 7`, `${4 * givenUpMax} stopped 7`]);
});

test("what ended well is read to its end, though its writer gives the rest up", async () => {
  await using pair = await openPair();
  const near = await pair.near.openStream();
  await near.write(Uint8Array.of(1));
  const far = await pair.far.acceptStream();
  await far?.read();
  await far?.write(new Uint8Array(30_000));
  await far?.end();
  far?.abort(5);
  expect((await receiveAll(near)).totalBytes).toBe(30_000);
  const writing = async () => {
    for (;;) await near.write(new Uint8Array(1000));
  };
  expect(await rejection(writing())).toMatchObject({ kind: "stopped", resetCode: 5 });
});

test("streams that are given up before anybody takes them in do not wait for it", async () => {
  await using pair = await openPair();
  for (let count = 1; count <= 3 * quicLimits.streamsFromClient; count++) {
    const near = await pair.near.openStream();
    await near.write(Uint8Array.of(1));
    near.abort(0);
    if (count % 128 === 0) await Bun.sleep(3 * givenUpMs);
  }
  const last = await pair.near.openStream();
  await last.write(Uint8Array.of(2));
  let taken = 0;
  for (let bytes: Uint8Array | null | undefined; bytes?.[0] !== 2; taken++)
    bytes = await (await pair.far.acceptStream())?.read().catch(() => undefined);
  expect(taken).toBeLessThanOrEqual(quicLimits.streamsFromClient);
}, 120_000);

test("what is given up in the dark is read to its mark when there is light", async () => {
  await using pair = await openPairOver({ seed });
  const [darkMs, rounds, bytes] = [2000, 4, 40_000];
  expect(darkMs).toBeGreaterThan(givenUpMs * 2 ** givenUpTries);
  expect(rounds * bytes).toBeGreaterThan(quicLimits.connectionWindowInitial);
  for (let round = 0; round < rounds; round++) {
    const near = await pair.near.openStream();
    await near.write(Uint8Array.of(1));
    const far = await pair.far.acceptStream();
    if (far === null) throw new Error("No stream");
    await far.read();
    pair.relay.blackHole(darkMs);
    await near.write(new Uint8Array(bytes));
    near.abort(round);
    expect(await rejection(receiveAll(far))).toMatchObject({ kind: "reset" });
  }
  await exchange(pair, 300_000, seed);
}, 120_000);

test("a reader that hears no word reads to the mark, which is no end", async () => {
  await using pair = await openPair({
    server: {
      openCarrier: async (address, receiver) =>
        openUdp(address, (datagram, port, host) => {
          if (datagram.byteLength !== looseMessageBytes) receiver(datagram, port, host);
        }),
    },
  });
  const near = await pair.near.openStream();
  await near.write(new Uint8Array(100));
  const far = await pair.far.acceptStream();
  await far?.read();
  const reading = far?.read() ?? Promise.resolve();
  near.abort(9);
  expect(await rejection(reading)).toMatchObject({ kind: "reset" });
  const unheard = await pair.near.openStream();
  await unheard.write(new Uint8Array(100));
  const writer = await pair.far.acceptStream();
  unheard.abort(9);
  const writing = async () => {
    for (;;) await writer?.write(new Uint8Array(10_000));
  };
  // Nobody told it, so it is stopped in the end.
  expect(await rejection(writing())).toMatchObject({ kind: "stopped", resetCode: 9 });
}, 120_000);

test.each(["near", "far"] as const)(
  "over a line that loses much nothing of it is lost room: %s gives up",
  async (whoGivesUp) => {
    await using pair = await openPairOver({ seed, delayMs: 5 });
    pair.relay.set({ loss: 0.2 });
    for (let code = 0; code < 40; code++) {
      const near = await pair.near.openStream();
      await near.write(new Uint8Array(20_000));
      const far = await pair.far.acceptStream();
      if (far === null) throw new Error("No stream");
      const [gone, left] = whoGivesUp === "near" ? [near, far] : [far, near];
      gone.abort(code);
      const using = async () => {
        for (;;) await (left === far ? left.read() : left.write(new Uint8Array(1000)));
      };
      const kind = left === far ? "reset" : "stopped";
      expect(await rejection(using())).toMatchObject({ kind });
    }
    await exchange(pair, 300_000, seed);
  },
  60_000,
);
