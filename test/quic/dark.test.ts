import { expect, jest, test } from "bun:test";
import type { ByteStream } from "../../src/protocol/byte-stream.ts";
import type { DatagramCarrier } from "../../src/quic/carrier.ts";
import { DarkWatch } from "../../src/quic/dark-watch.ts";
import type { EndpointOptions } from "../../src/quic/endpoint.ts";
import { FormerCarrier } from "../../src/quic/former-carrier.ts";
import { quicLimits } from "../../src/quic/limits.ts";
import { looseMessageBytes } from "../../src/quic/loose-message.ts";
import { Questions } from "../../src/quic/questions.ts";
import {
  type LineStage,
  openLine,
  type SentDatagram,
  serverPort,
  type Side,
} from "./memory-line.ts";

const sides = ["client", "server"] as const;
const other = { client: "server", server: "client" } as const;
const portOf = (stage: LineStage, side: Side): number =>
  side === "server" ? serverPort : stage.pair.client.address.port;
/** Or another message beside QUIC. */
const isQuestion = ({ bytes }: SentDatagram): boolean => bytes.byteLength === looseMessageBytes;

test.each(sides)(
  "what the %s wrote in the dark goes out when the other one is heard, and nothing but questions before",
  async (writes) => {
    await using stage = await openStage();
    const { line, streams } = stage;
    line.isDark = true;
    const mark = line.sent.length;
    await streams[writes].write(new Uint8Array(500));
    // By then the silence has doubled since the first question, and with it the distance of quiche's probes: one is due.
    const questions = await untilAsked(stage, writes, mark, writes === "client" ? 40 : 20);
    await streams[writes].write(new Uint8Array(500));
    const [first] = questions;
    const since = line.sent.indexOf(first ?? fail("No question"));
    await untilAsked(stage, writes, since, 3);
    expect(line.sentBy(writes, since).every(isQuestion)).toBe(true);

    const last = line.sentBy(writes, since).at(-1) ?? fail("No question");
    const answered = line.sent.length;
    await line.deliver(last, portOf(stage, other[writes]));
    const [reply] = line.sentBy(other[writes], answered);
    expect(reply?.bytes.byteLength).toBe(looseMessageBytes);
    const heard = line.sent.length;
    await line.deliver(reply ?? fail("No reply"), portOf(stage, writes));
    for (const datagram of line.sentBy(writes, heard))
      await line.deliver(datagram, portOf(stage, other[writes]));
    const read = await readBytes(streams[other[writes]], 500);
    line.isDark = false;
    await readBytes(streams[other[writes]], 1000 - read);
  },
);

test("where no probe of quiche was due yet, the first sign of life draws something to acknowledge", async () => {
  await using stage = await openStage();
  const { line } = stage;
  const question = await questionInTheDark(stage);
  const asked = line.sent.length;
  await line.deliver(question, serverPort);
  const [reply = fail("No reply")] = line.sentBy("server", asked);
  const heard = line.sent.length;
  await line.deliver(reply, portOf(stage, "client"));
  expect(line.sentBy("client", heard).some((sent) => !isQuestion(sent))).toBe(true);
});

test("a line that is dark for both is light for both with the first question that comes through", async () => {
  await using stage = await openStage();
  const { line, streams } = stage;
  line.isDark = true;
  const mark = line.sent.length;
  await Promise.all(sides.map((side) => streams[side].write(new Uint8Array(500))));
  await untilAsked(stage, "server", mark, 8);
  const question = line.sentBy("client").findLast(isQuestion) ?? fail("No question");
  const heard = line.sent.length;
  await line.deliver(question, serverPort);
  expect(line.sentBy("server", heard).some(({ bytes }) => bytes.byteLength > 500)).toBe(true);
  line.isDark = false;
  await Promise.all(sides.map((side) => readBytes(streams[side], 500)));
});

test.each(["reply", "packet"] as const)(
  "what a %s lets go late in the dark may be lost as well: it stays awaited, though quiche's timer lies beyond the idle time",
  async (sign) => {
    await using stage = await openStage({ idleMs: 4000, keepAliveMs: 0 });
    const { line, streams } = stage;
    line.isDark = true;
    const mark = line.sent.length;
    await streams.server.write(new Uint8Array(500));
    await Bun.sleep(2800);
    const questions = await untilAsked(stage, "server", mark, 1);
    const heard = line.sent.length;
    if (sign === "packet") stage.pair.near.ping?.();
    else await line.deliver(questions.at(-1) ?? fail("No question"), portOf(stage, "client"));
    while (line.sentBy("client", heard).length === 0) await Bun.sleep(1);
    const [word = fail("No sign")] = line.sentBy("client", heard);
    expect(isQuestion(word)).toBe(sign === "reply");
    const lost = line.sent.length;
    await line.deliver(word, serverPort);
    expect(line.sentBy("server", lost).some((sent) => !isQuestion(sent))).toBe(true);
    line.isDark = false;
    await readBytes(streams.client, 500);
  },
  20_000,
);

test("a question is replied to once, and forged or sent back not at all", async () => {
  await using stage = await openStage();
  const { line } = stage;
  const question = await questionInTheDark(stage);
  const forged = {
    ...question,
    bytes: question.bytes.map((byte, at) => (at === 44 ? ~byte : byte)),
  };
  const replies = async (datagram: SentDatagram, to: Side): Promise<number> => {
    const since = line.sent.length;
    await line.deliver(datagram, portOf(stage, to));
    return line.sentBy(to, since).filter((sent) => sent.from === "server").length;
  };
  expect(await replies(forged, "server")).toBe(0);
  expect(await replies(question, "server")).toBe(1);
  expect(await replies(question, "server")).toBe(0);
  const back = line.sent.length;
  await line.deliver({ ...question, port: serverPort }, portOf(stage, "client"));
  expect(line.sentBy("client", back).every(isQuestion)).toBe(true);
});

test("a question from elsewhere draws a challenge of its own size, an old one nothing", async () => {
  await using stage = await openStage();
  const { line } = stage;
  const question = await questionInTheDark(stage);
  const stolen = line.sent.length;
  await line.deliver({ ...question, port: 6000 }, serverPort);
  expect(line.sentBy("server", stolen).map(({ bytes }) => bytes.byteLength)).toEqual([
    looseMessageBytes,
  ]);
  // It is the client's own all the same.
  const own = line.sent.length;
  await line.deliver(question, serverPort);
  expect(line.sentBy("server", own)).toHaveLength(1);
  const old = line.sent.length;
  await line.deliver({ ...question, port: 6001 }, serverPort);
  expect(line.sentBy("server", old)).toEqual([]);
});

test("copies of a question draw one challenge, and nobody's copies push the client's own out", async () => {
  await using stage = await openStage();
  const { line, streams, pair } = stage;
  line.isDark = true;
  await pair.client.rebind();
  const isOwn = (sent: SentDatagram): boolean => sent.port === pair.client.address.port;
  const mark = line.sent.length;
  await streams.client.write(new Uint8Array(10));
  const drawn = async (datagram: SentDatagram, port = datagram.port): Promise<SentDatagram[]> => {
    const since = line.sent.length;
    await line.deliver({ ...datagram, port }, serverPort);
    return line.sentBy("server", since);
  };
  const many = 2 * quicLimits.candidatesMax;
  const asked = await untilAsked(stage, "client", mark, 2 * many);
  const [question = fail("No question"), ...later] = asked.filter(isOwn);
  const [challenge = fail("No challenge")] = await drawn(question);
  for (let port = 6000; port < 6000 + many; port++) expect(await drawn(question, port)).toEqual([]);
  for (const [index, next] of later.slice(0, many - 1).entries())
    expect(await drawn(next, 7000 + index)).toHaveLength(1);
  const since = line.sent.length;
  await line.deliver(challenge, pair.client.address.port);
  const answer = line.sentBy("client", since).find((sent) => isQuestion(sent) && isOwn(sent));
  await line.deliver(answer ?? fail("No answer"), serverPort);
  expect(pair.far.remoteAddress.port).toBe(pair.client.address.port);
});

test("what a client said where it was before does not move it back", async () => {
  await using stage = await openStage();
  const { line, pair } = stage;
  const untilMoved = async (): Promise<void> => {
    await pair.client.rebind();
    while (pair.far.remoteAddress.port !== pair.client.address.port) await Bun.sleep(1);
  };
  const mark = line.sent.length;
  await untilMoved();
  const before = pair.client.address.port;
  await untilMoved();
  const said = line.sentBy("client", mark).filter(({ port }) => port === before);
  expect(said.some(isQuestion)).toBe(true);
  line.isDark = true;
  for (const datagram of said) await line.deliver(datagram, serverPort);
  expect(pair.far.stats().paths).toBe(3);
  expect(pair.far.remoteAddress.port).toBe(pair.client.address.port);
});

test.each(["old", "new"] as const)(
  "a client that took a new socket in the dark is let through at its old one at once, if the %s one comes first",
  async (earlier) => {
    await using stage = await openStage();
    const { line, streams } = stage;
    const oldPort = portOf(stage, "client");
    line.isDark = true;
    const mark = line.sent.length;
    await Promise.all(sides.map((side) => streams[side].write(new Uint8Array(500))));
    await untilAsked(stage, "server", mark, 8);
    const moved = line.sent.length;
    await stage.pair.client.rebind();
    const questions = line.sentBy("client", moved).filter(isQuestion);
    expect(questions.map(({ port }) => port)).toEqual([oldPort, portOf(stage, "client")]);
    const asked = line.sent.length;
    for (const question of earlier === "old" ? questions : questions.toReversed())
      await line.deliver(question, serverPort);
    const sizes = line.sentBy("server", asked).map(({ bytes }) => bytes.byteLength);
    expect(Math.max(...sizes)).toBeGreaterThan(500);
    line.isDark = false;
    await Promise.all(sides.map((side) => readBytes(streams[side], 500)));
  },
);

test("FormerCarrier closes a socket after a while, with the next one, and at once where it may not linger", () => {
  jest.useFakeTimers();
  try {
    const closed: string[] = [];
    const carrier = (name: string, mayLinger: boolean): DatagramCarrier => ({
      address: { host: "127.0.0.1", port: 1 },
      mayLinger,
      send: () => true,
      close: () => void closed.push(name),
    });
    const former = new FormerCarrier();
    former.keep(carrier("web socket", false));
    expect(former.carrier).toBeUndefined();
    for (const name of ["first", "second"]) former.keep(carrier(name, true));
    expect(closed).toEqual(["web socket", "first"]);
    jest.advanceTimersByTime(quicLimits.formerSocketMs - 1);
    expect(former.carrier).toBeDefined();
    jest.advanceTimersByTime(1);
    expect(former.carrier).toBeUndefined();
    expect(closed.at(-1)).toBe("second");
    former.close();
    expect(closed).toHaveLength(3);
  } finally {
    jest.useRealTimers();
  }
});

test("who awaits nothing asks nothing", async () => {
  await using stage = await openStage();
  const { line, streams } = stage;
  await streams.client.write(new Uint8Array(500));
  await readBytes(streams.server, 500);
  await untilSilent(stage);
  line.isDark = true;
  const mark = line.sent.length;
  await Bun.sleep(3 * quicLimits.darkMs);
  expect(line.sent.length).toBe(mark);
});

/** Questions in a silence of so long, by virtual time, and the longest wait from any moment to the next. */
function silence(side: Side, forMs: number): { readonly count: number; readonly waits: number[] } {
  const watch = new DarkWatch(side);
  const waits: number[] = [];
  watch.note(true, 0, 0);
  let nowMs = watch.dueMs;
  for (; nowMs < forMs; nowMs = watch.dueMs) {
    expect(watch.ring(nowMs, 20)).toBe(true);
    waits.push((watch.dueMs - nowMs) / nowMs);
  }
  return { count: waits.length, waits };
}

test("DarkWatch asks in proportion to the silence, and not often in a minute of it", () => {
  const client = silence("client", 60_000);
  const machine = silence("server", 60_000);
  expect(client.count).toBeLessThan(700);
  expect(machine.count).toBeLessThan(225);
  expect(Math.max(...client.waits.slice(200))).toBeLessThanOrEqual(0.0051);
  expect(Math.max(...machine.waits.slice(80))).toBeLessThanOrEqual(0.0201);
  const { count } = silence("client", 1_000_000);
  expect(silence("client", 1_000_000 + 100 * quicLimits.asksMsMax).count).toBe(count + 100);
});

test("DarkWatch: silence counts while something is awaited, from the last word on, three round trips at least", () => {
  const watch = new DarkWatch("client");
  expect(watch.dueMs).toBe(Number.POSITIVE_INFINITY);
  // Ten minutes in which nobody said anything are no silence.
  watch.note(true, 0, 600_000);
  expect(watch.dueMs).toBe(600_000 + quicLimits.darkMs);
  watch.note(true, 600_100, 600_100);
  expect(watch.dueMs).toBe(600_100 + quicLimits.darkMs);
  watch.note(false, 600_200, 600_200);
  expect(watch.dueMs).toBe(Number.POSITIVE_INFINITY);
  watch.note(true, 600_200, 601_000);
  expect(watch.ring(601_000 + quicLimits.darkMs, 200)).toBe(false);
  expect(watch.isDark).toBe(false);
  expect(watch.dueMs).toBe(601_600);
  expect(watch.ring(601_600, 200)).toBe(true);
  expect(watch.isDark).toBe(true);
  watch.end();
  expect(watch.dueMs).toBe(Number.POSITIVE_INFINITY);
});

test("DarkWatch: what was let go stays awaited until a packet was heard", () => {
  const watch = new DarkWatch("client");
  watch.note(true, 0, 0);
  expect(watch.ring(5000, 20)).toBe(true);
  watch.letGo(5000);
  expect([watch.isDark, watch.isOwed, watch.awaits]).toEqual([false, true, true]);
  watch.note(false, 0, 5001);
  expect(watch.dueMs).toBe(5000 + quicLimits.darkMs);
  expect(watch.ring(5000 + quicLimits.darkMs, 20)).toBe(true);
  watch.letGo(5400);
  watch.end();
  watch.note(false, 5401, 5401);
  expect([watch.isOwed, watch.dueMs]).toEqual([false, Number.POSITIVE_INFINITY]);
});

test("Questions: one reply for each, none for old ones, no more than the limit, and no reply that was not asked for", () => {
  const questions = new Questions();
  expect(questions.peerKnows).toBe(false);
  expect(questions.noteReply(1n)).toBe(false);
  expect(questions.noteQuestion(3n, 0)).toBe(true);
  expect(questions.peerKnows).toBe(true);
  expect(questions.noteQuestion(3n, 100)).toBe(false);
  expect(questions.noteQuestion(2n, 200)).toBe(false);
  expect([2n, 3n, 6n, 6n, 5n].map((number) => questions.noteElsewhere(number))).toEqual([
    false,
    false,
    true,
    false,
    false,
  ]);
  expect(questions.noteQuestion(4n, quicLimits.replyEveryMs - 1)).toBe(false);
  expect(questions.noteQuestion(5n, quicLimits.replyEveryMs)).toBe(true);
  expect([questions.next(), questions.next()]).toEqual([1n, 2n]);
  expect([2n, 2n, 1n, 3n].map((number) => questions.noteReply(number))).toEqual([
    true,
    false,
    false,
    false,
  ]);
});

interface Stage extends LineStage {
  readonly streams: Readonly<Record<Side, ByteStream>>;
}

async function openStage(options: Partial<EndpointOptions> = {}): Promise<Stage> {
  const stage = await openLine(options);
  const client = await stage.pair.near.openStream();
  await client.write(Uint8Array.of(1));
  const server = (await stage.pair.far.acceptStream()) ?? fail("No stream");
  await readBytes(server, 1);
  await untilSilent(stage);
  return Object.assign(stage, { streams: { client, server } });
}

/** What the client asks after it wrote something that does not arrive. */
async function questionInTheDark(stage: Stage): Promise<SentDatagram> {
  stage.line.isDark = true;
  const mark = stage.line.sent.length;
  await stage.streams.client.write(new Uint8Array(500));
  const [question = fail("No question")] = await untilAsked(stage, "client", mark, 1);
  return question;
}

async function untilAsked(
  { line }: LineStage,
  side: Side,
  since: number,
  count: number,
): Promise<SentDatagram[]> {
  for (;;) {
    const questions = line.sentBy(side, since).filter(isQuestion);
    if (questions.length >= count) return questions;
    await Bun.sleep(5);
  }
}

async function untilSilent({ line }: LineStage): Promise<void> {
  for (let before = -1; line.sent.length !== before; await Bun.sleep(100))
    before = line.sent.length;
}

/** At least so many; how many it were. */
async function readBytes(stream: ByteStream, bytes: number): Promise<number> {
  let read = 0;
  while (read < bytes) read += (await stream.read())?.length ?? fail("It ended");
  return read;
}

function fail(problem: string): never {
  throw new Error(problem);
}
