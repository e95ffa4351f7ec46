import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import * as v from "valibot";
import { FrameStream, frameTypes } from "../../../src/protocol/frame.ts";
import { decodeJson, request } from "../../../src/protocol/message.ts";
import { type ListeningPort, portsSchema } from "../../../src/protocol/ports-message.ts";
import { listenTcp } from "../../../src/system/tcp-stream.ts";
import { freePort } from "../../support/free-port.ts";
import { TestMachine } from "./machine.ts";

/** What a client that watches is told of programs that listen, with a real init and real processes. */

setDefaultTimeout(120_000);

let machine: TestMachine;

beforeAll(async () => {
  machine = await TestMachine.boot();
});
afterAll(async () => {
  await machine[Symbol.asyncDispose]();
});

/** A client that watches. */
class Watcher implements AsyncDisposable {
  readonly frames: FrameStream;
  lists: ListeningPort[][] = [];

  private constructor(frames: FrameStream) {
    this.frames = frames;
    this.#follow().catch(() => undefined);
  }

  static async open(session?: string): Promise<Watcher> {
    const frames = new FrameStream(await machine.connect());
    await request(frames, { type: "ports", ...(session && { session }) }, v.object({}));
    return new Watcher(frames);
  }

  async until(wanted: (list: ListeningPort[]) => boolean): Promise<ListeningPort[]> {
    const deadlineMs = performance.now() + 10_000;
    for (;;) {
      const list = this.lists.at(-1);
      if (list !== undefined && wanted(list)) return list;
      if (performance.now() > deadlineMs) throw new Error(`Still ${JSON.stringify(this.lists)}`);
      await Bun.sleep(10);
    }
  }

  async #follow(): Promise<void> {
    for (;;) {
      const frame = await this.frames.read();
      if (frame === null) return;
      expect(frame.type).toBe(frameTypes.ports);
      this.lists.push(decodeJson(portsSchema, frame.payload, "Ports").ports);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.frames.stream.end();
  }
}

test("what programs of the guest listen on comes and goes, and nothing else is told", async () => {
  // Of the system outside, which shares the network.
  const outside = listenTcp({ host: "127.0.0.1", port: 0 }, { onConnection: () => undefined });
  await using watcher = await Watcher.open();
  expect(await watcher.until(() => true)).toEqual([]);
  const [port, other] = [freePort(), freePort()];
  const first = await machine.open({ tty: true, name: "main" });
  const second = await machine.open({ argv: ["httpd", "-f", "-p", `127.0.0.1:${other}`] });
  await first.write(`httpd -f -p ${port}\n`);
  const both = await watcher.until((list) => list.length === 2);
  expect(both.find((each) => each.port === port)).toMatchObject({ host: "::", process: "httpd" });
  expect(both.find((each) => each.port === other)).toMatchObject({ host: "127.0.0.1" });
  expect(both.every(({ pid }) => pid !== null && pid < 1000)).toBeTrue();

  await using ours = await Watcher.open("main");
  const marked = await ours.until((list) => list.length === 2);
  expect(marked.find((each) => each.port === port)?.in_session).toBeTrue();
  expect(marked.find((each) => each.port === other)?.in_session).toBeUndefined();

  await first.write("\u0003exit\n");
  await watcher.until((list) => list.length === 1);
  await second.signal(15);
  await watcher.until((list) => list.length === 0);
  outside.close();
});

test("a server that left its session behind is still the guest's", async () => {
  await using watcher = await Watcher.open();
  const port = freePort();
  await machine.shell(`setsid nc -l -p ${port} </dev/null >/dev/null 2>&1 &`);
  const list = await watcher.until((each) => each.some((one) => one.port === port));
  expect(list).toMatchObject([{ port, process: "nc" }]);
  await machine.shell(`kill $(pidof nc)`);
  await watcher.until((each) => each.length === 0);
});
