import { expect, jest, test } from "bun:test";
import { FrameStream } from "../../../src/protocol/frame.ts";
import {
  type ForwardListenRequest,
  listenReplySchema,
} from "../../../src/protocol/forward-message.ts";
import { request } from "../../../src/protocol/message.ts";
import { RemoteListeners } from "../../../src/roles/init/remote-listeners.ts";
import { connectTcp } from "../../../src/system/tcp-stream.ts";
import { memoryPair } from "../../support/memory-stream.ts";
import { rejection } from "../../support/rejection.ts";

test("without its client a listener is kept for so long, and not a second time for less", async () => {
  const keptMs = 1000;
  jest.useFakeTimers();
  const listeners = new RemoteListeners(() => -1, keptMs);
  const wish: ForwardListenRequest = {
    type: "forward-listen",
    id: "one",
    at: { kind: "tcp", host: "127.0.0.1", port: 0 },
  };
  const visit = async () => {
    const { near, far, cut } = memoryPair();
    const server = new FrameStream(far);
    const asking = request(new FrameStream(near), wish, listenReplySchema);
    await server.read();
    const serving = listeners.serve(server, wish).catch(() => undefined);
    const { port = 0, created } = await asking;
    return { port, created, leave: async () => (cut(), serving) };
  };
  try {
    const first = await visit();
    await first.leave();
    jest.advanceTimersByTime(keptMs - 1);
    const again = await visit();
    expect(again).toMatchObject({ port: first.port, created: false });
    // The clock of the first absence is stopped.
    jest.advanceTimersByTime(keptMs);
    const to = { host: "127.0.0.1", port: first.port };
    (await connectTcp(to)).abort(0);
    await again.leave();
    jest.advanceTimersByTime(keptMs - 1);
    (await connectTcp(to)).abort(0);
    jest.advanceTimersByTime(1);
    expect(await rejection(connectTcp(to))).toMatchObject({ code: "ECONNREFUSED" });
    const last = await visit();
    expect(last.created).toBe(true);
    await last.leave();
  } finally {
    jest.useRealTimers();
    listeners.close();
  }
});
