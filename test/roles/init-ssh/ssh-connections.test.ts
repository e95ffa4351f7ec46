import { afterEach, expect, test } from "bun:test";
import { FrameStream } from "../../../src/protocol/frame.ts";
import { request } from "../../../src/protocol/message.ts";
import { type SshReply, sshReplySchema } from "../../../src/protocol/ssh-message.ts";
import { ResumableStream } from "../../../src/protocol/resumable-stream.ts";
import { sshLimits } from "../../../src/roles/init/ssh/limits.ts";
import { SshConnections } from "../../../src/roles/init/ssh/ssh-connections.ts";
import type { SshTransport } from "../../../src/roles/init/ssh/ssh-transport.ts";
import { type MemoryPair, memoryPair } from "../../support/memory-stream.ts";
import { rejection } from "../../support/rejection.ts";

const transports: SshTransport[] = [];

afterEach(() => {
  for (const transport of transports.splice(0)) transport.destroy();
});

test("what is said to a client that is away waits for it, and is said once", async () => {
  const connections = echoing();
  const client = new Client("one");
  const first = await client.come(connections);
  await client.say("hello");
  expect(await client.hear(5)).toBe("hello");
  first.cut();
  client.queue(" and more");
  const second = await client.come(connections);
  expect(second.reply).toMatchObject({ created: false, received: 5 });
  await client.say("");
  expect(await client.hear(14)).toBe("hello and more");
});

test("a second stream takes over from the first, whether that is dead or not", async () => {
  const connections = echoing();
  const client = new Client("one");
  const first = await client.come(connections);
  await client.come(connections);
  await first.serving;
  await client.say("still here");
  expect(await client.hear(10)).toBe("still here");
  expect(connections.size).toBe(1);
});

test("nobody can go on with a connection that is not there, or is further than it can be", async () => {
  const connections = echoing();
  const client = new Client("one");
  expect(await rejection(client.come(connections, 1))).toMatchObject({ code: "gone" });
  await client.come(connections);
  expect(await rejection(client.come(connections, 1))).toMatchObject({ code: "gone" });
});

test("one that both ends have ended is forgotten", async () => {
  const connections = echoing();
  const client = new Client("one");
  const { serving } = await client.come(connections);
  await client.finish();
  await serving;
  expect(connections.size).toBe(0);
});

test("of too many the one longest away gives way; with all of them here there is no room", async () => {
  const connections = echoing();
  const clients = Array.from({ length: sshLimits.connectionsMax }, (_, at) => new Client(`c${at}`));
  const ways = [];
  for (const client of clients) ways.push(await client.come(connections));
  expect(await rejection(new Client("more").come(connections))).toMatchObject({ code: "limit" });
  ways[3]?.cut();
  await ways[3]?.serving;
  ways[2]?.cut();
  await ways[2]?.serving;
  await new Client("more").come(connections);
  expect(connections.size).toBe(sshLimits.connectionsMax);
  expect((await clients[2]?.come(connections))?.reply.created).toBe(false);
});

test("a client that stays away loses it after so long, and not while it is here", async () => {
  const awayMs = 1000;
  const connections = echoing(awayMs);
  const client = new Client("one");
  const first = await client.come(connections);
  first.cut();
  await first.serving;
  await Bun.sleep(awayMs / 5);
  const second = await client.come(connections);
  expect(second.reply.created).toBe(false);
  await Bun.sleep(1.5 * awayMs);
  expect(connections.size).toBe(1);
  second.cut();
  await second.serving;
  while (connections.size > 0) await Bun.sleep(10);
  expect(transports.at(-1)?.destroyed).toBe(true);
});

test("what its computer says to be over ends, but never what somebody is at", async () => {
  const connections = echoing();
  const [killed, alive] = [new Client("killed"), new Client("alive")];
  const first = await killed.come(connections);
  await alive.come(connections);
  first.cut();
  await first.serving;
  const next = new Client("next");
  next.ended = ["killed", "alive", "unknown", "next"];
  await next.come(connections);
  expect(connections.size).toBe(2);
  await alive.say("here");
  expect(await alive.hear(4)).toBe("here");
  expect((await new Client("killed").come(connections)).reply.created).toBe(true);
});

test("a channel that writes waits while nothing of it is taken", async () => {
  const connections = new SshConnections("ssh-ed25519 AAAA", (transport) => {
    transports.push(transport);
    transport.resume();
  });
  const client = new Client("one");
  await client.come(connections);
  const transport = transports.at(-1) as SshTransport;
  let written = 0;
  const writing = (async () => {
    for (let count = 0; count < 200; count++) {
      await transport.hasRoom();
      transport.write(new Uint8Array(32 * 1024));
      written += 32 * 1024;
    }
  })();
  await Bun.sleep(50);
  // A window on its way, and what the transport itself holds.
  expect(written).toBeLessThan(2 * 1024 * 1024 + 2 * sshLimits.transportBytesMax);
  await client.hear(200 * 32 * 1024);
  await writing;
});

function echoing(awayMs?: number): SshConnections {
  return new SshConnections("ssh-ed25519 AAAA", echo, awayMs);
}

function echo(transport: SshTransport): void {
  transports.push(transport);
  transport.pipe(transport);
}

/** The other end, over as many streams as the test likes. */
class Client {
  readonly #id: string;
  readonly #stream = new ResumableStream();
  #frames: FrameStream | undefined;
  #heard = "";
  ended: string[] = [];

  constructor(id: string) {
    this.#id = id;
  }

  async come(
    connections: SshConnections,
    received: number = this.#stream.receivedOffset,
  ): Promise<{ reply: SshReply; serving: Promise<void>; cut: MemoryPair["cut"] }> {
    const { near, far, cut } = memoryPair();
    const wish = { type: "ssh", id: this.#id, received, ended: this.ended } as const;
    const frames = new FrameStream(near);
    const server = new FrameStream(far);
    const asking = request(frames, wish, sshReplySchema);
    asking.catch(() => undefined);
    await server.read();
    const serving = connections.serve(server, wish);
    const reply = await Promise.race([asking, serving.then(() => asking)]);
    this.#stream.resume(reply.received);
    this.#frames = frames;
    return { reply, serving, cut };
  }

  queue(text: string): void {
    this.#stream.write(new TextEncoder().encode(text));
  }

  async finish(): Promise<void> {
    this.#stream.end();
    await this.say("");
    await this.hear(Number.POSITIVE_INFINITY);
    await this.#frames?.stream.end();
  }

  async say(text: string): Promise<void> {
    this.queue(text);
    for (let frame = this.#stream.poll(); frame !== undefined; frame = this.#stream.poll())
      await this.#frames?.writeEncoded(frame);
  }

  async hear(length: number): Promise<string> {
    while (this.#heard.length < length) {
      const frame = await this.#frames?.read();
      if (frame === null || frame === undefined) break;
      const event = this.#stream.receive(frame);
      if (event.kind !== "data") continue;
      this.#heard += new TextDecoder().decode(event.bytes);
      this.#stream.taken(event.bytes.length);
      await this.say("");
    }
    return this.#heard;
  }
}
