import { expect, test } from "bun:test";
import { FrameStream } from "../../../src/protocol/frame.ts";
import { ResumableStream } from "../../../src/protocol/resumable-stream.ts";
import { SshConnection } from "../../../src/roles/init/ssh/ssh-connection.ts";
import { memoryPair } from "../../support/memory-stream.ts";

const wish = { type: "ssh", id: "one", received: 0 } as const;
const reply = { host_key: "ssh-ed25519 AAAA", created: true };

test("half a frame of a link that was killed is a lost stream, and the connection goes on", async () => {
  const connection = new SshConnection();
  const client = new ResumableStream();
  client.write(new TextEncoder().encode("SSH-2.0-test\r\n"));
  const first = memoryPair();
  const serving = connection.serve(new FrameStream(first.far), wish, reply);
  await new FrameStream(first.near).read();
  const frame = client.poll() ?? new Uint8Array();
  await first.near.write(frame.subarray(0, frame.length - 3));
  await first.near.end();
  await serving;
  expect(connection.transport.destroyed).toBe(false);

  const second = memoryPair();
  const again = connection.serve(new FrameStream(second.far), wish, reply);
  const frames = new FrameStream(second.near);
  await frames.read();
  const received = new Promise((resolve) => connection.transport.once("data", resolve));
  client.resume(0);
  for (let next = client.poll(); next !== undefined; next = client.poll())
    await frames.writeEncoded(next);
  expect(String(await received)).toBe("SSH-2.0-test\r\n");
  second.cut();
  await again;
});
