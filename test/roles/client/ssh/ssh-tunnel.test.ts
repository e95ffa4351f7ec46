import { expect, test } from "bun:test";
import { type ByteStream, StreamError } from "../../../../src/protocol/byte-stream.ts";
import { FrameStream, frameTypes } from "../../../../src/protocol/frame.ts";
import { decodeRequest, encodeJson } from "../../../../src/protocol/message.ts";
import { ResumableStream } from "../../../../src/protocol/resumable-stream.ts";
import { Reader } from "../../../../src/protocol/wire.ts";
import type {
  AttestedLink,
  LinkConnection,
} from "../../../../src/roles/client/link/attested-link.ts";
import { SshTunnel } from "../../../../src/roles/client/ssh/ssh-tunnel.ts";
import { SshConnections } from "../../../../src/roles/init/ssh/ssh-connections.ts";
import { type MemoryPair, memoryPair } from "../../../support/memory-stream.ts";
import { rejection } from "../../../support/rejection.ts";
import { between, randomBytes, seededRandom } from "../../../support/seed.ts";

test("bytes come back as they went, over links that are lost all the time", async () => {
  const random = seededRandom(7);
  const connections = new SshConnections("ssh-ed25519 AAAA", (transport) => {
    transport.pipe(transport);
  });
  let links = 0;
  const link = linkOf(() => {
    links += 1;
    // The last ones stand, or it would never end.
    const cut = links < 40 ? { cutAfterBytes: between(random, 1000, 60_000) } : {};
    const pair = memoryPair({ random, bufferBytes: 16_384, ...cut });
    void serve(pair.far, connections);
    return pair;
  });
  const sent = randomBytes(random, 400_000);
  const got: Uint8Array[] = [];
  const keys: string[] = [];
  const tunnel = new SshTunnel(link, "one", {
    onHostKey: async (key) => void keys.push(key),
    input: inSlices(sent),
    output: async (bytes) => void got.push(bytes.slice()),
  });
  await tunnel.run();
  expect(Buffer.concat(got).equals(Buffer.from(sent))).toBe(true);
  expect(links).toBeGreaterThan(5);
  expect(keys).toEqual(["ssh-ed25519 AAAA"]);
  expect(connections.size).toBe(0);
});

test("what came before a link was lost changes nothing once the machine was asked for it again", async () => {
  const pairs: MemoryPair[] = [];
  const opened = [Promise.withResolvers<ByteStream>(), Promise.withResolvers<ByteStream>()];
  const link = linkOf(() => {
    const pair = memoryPair();
    opened[pairs.length]?.resolve(pair.far);
    pairs.push(pair);
    return pair;
  });
  const shown = Promise.withResolvers<void>();
  const asked = Promise.withResolvers<void>();
  const typed = Promise.withResolvers<void>();
  const tunnel = new SshTunnel(link, "one", {
    onHostKey: async () => undefined,
    input: afterwards(typed.promise),
    output: async () => {
      shown.resolve();
      await asked.promise;
    },
  });
  tunnel.run().catch(() => undefined);
  const far = (await opened[0]?.promise) as ByteStream;
  await accept(far, 0);
  const machine = new ResumableStream();
  machine.write(Uint8Array.of(1, 2, 3, 4));
  const first = machine.poll() as Uint8Array;
  machine.write(Uint8Array.of(5, 6, 7, 8));
  const second = machine.poll() as Uint8Array;
  // Both at once: while the first is shown, the second waits in the client's decoder.
  await far.write(Buffer.concat([first, second]));
  await shown.promise;
  // It is the client's own half that finds out.
  far.abort(0);
  typed.resolve();
  const again = (await opened[1]?.promise) as ByteStream;
  const frames = await accept(again, 4, async () => {
    asked.resolve();
    await Bun.sleep(10);
  });
  const ack = await frames.read();
  expect(ack?.type).toBe(frameTypes.sshAck);
  // No more than the machine has sent by its own account, which goes on at 4.
  expect(new Reader(ack?.payload ?? new Uint8Array(0), "ack").u64()).toBeLessThanOrEqual(4);
  again.abort(0);
});

test("the machine's refusal ends it", async () => {
  const link = linkOf(() => {
    const pair = memoryPair();
    void refuse(pair.far);
    return pair;
  });
  const tunnel = new SshTunnel(link, "one", {
    onHostKey: async () => undefined,
    input: afterwards(new Promise(() => undefined)),
    output: async () => undefined,
  });
  expect(await rejection(tunnel.run())).toMatchObject({ code: "gone" });
});

async function serve(far: ByteStream, connections: SshConnections): Promise<void> {
  const frames = new FrameStream(far);
  try {
    const first = await frames.read();
    const request = first === null ? undefined : decodeRequest(first);
    if (request?.type === "ssh") await connections.serve(frames, request);
  } catch (error) {
    if (!(error instanceof StreamError)) throw error;
  }
}

/** Answers the request as a machine that has had nothing of the client. */
async function accept(
  far: ByteStream,
  received: number,
  beforeReply: () => Promise<void> = async () => undefined,
): Promise<FrameStream> {
  const frames = new FrameStream(far);
  const request = await frames.read();
  expect(request && decodeRequest(request)).toMatchObject({ type: "ssh", received });
  await beforeReply();
  const reply = { host_key: "ssh-ed25519 AAAA", created: received === 0, received: 0 };
  await frames.write(frameTypes.ok, encodeJson(reply));
  return frames;
}

async function refuse(far: ByteStream): Promise<void> {
  const frames = new FrameStream(far);
  await frames.read();
  await frames.write(frameTypes.error, encodeJson({ code: "gone", message: "it is gone" }));
  await far.end();
}

/** A link whose every connection has one stream; it stands as long as that. */
function linkOf(open: () => MemoryPair): AttestedLink {
  let current: LinkConnection | undefined;
  const link: Pick<AttestedLink, "connection" | "isCurrent" | "pause"> = {
    connection: async () => {
      const { near } = open();
      current = { openStream: async () => near, closed: new Promise(() => undefined) };
      return current;
    },
    isCurrent: () => false,
    pause: async () => undefined,
  };
  return link as AttestedLink;
}

async function* inSlices(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let from = 0; from < bytes.length; from += 7001) {
    await Promise.resolve();
    yield bytes.subarray(from, from + 7001);
  }
}

async function* afterwards(ready: Promise<void>): AsyncGenerator<Uint8Array> {
  await ready;
  yield Uint8Array.of(9);
  await new Promise(() => undefined);
}
