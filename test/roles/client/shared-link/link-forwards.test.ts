import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { ByteStream } from "../../../../src/protocol/byte-stream.ts";
import { listenTcp } from "../../../../src/system/tcp-stream.ts";
import { runClientOnZeros, spawnClient } from "../../../support/client-process.ts";
import { LinkStage, until } from "../../../support/link-stage.ts";
import { answerTo, ask, DigestServer } from "../forward/forward-stage.ts";
import { freePort } from "../../../support/free-port.ts";

/** Forwards that ride on a background link, and what becomes of them when that is killed. */

setDefaultTimeout(120_000);

let stage: LinkStage;
let target: DigestServer;
beforeAll(async () => {
  stage = await LinkStage.open();
  target = await DigestServer.listen({ host: "127.0.0.1" });
});
afterAll(async () => {
  target.close();
  await stage.close();
});

test("-L, -R and -D go on when their link is killed, and leave no socket behind", async () => {
  const [local, remote, socks] = [freePort(), freePort(), freePort()];
  const path = join(stage.vault.folder, "forwarded.sock");
  const to = `127.0.0.1:${target.port}`;
  const words = [`${local}:${to}`, `${path}:${to}`, "-R", `${remote}:${to}`, "-D", `${socks}`];
  const child = spawnClient(["forward", "--link", "dev", ...words], stage.env);
  const question = new Uint8Array(300_000).fill(3);
  const allAnswer = async (): Promise<void> => {
    for (const way of [local, remote, { path }])
      expect(await ask(way, question)).toBe(answerTo(question));
    expect(await throughSocks(socks, target.port)).toBe(answerTo(new Uint8Array(0)));
  };
  try {
    await untilSaid(child.stdout, /-R|forwarded\.sock/);
    await allAnswer();
    const pid = await stage.kill("SIGKILL");
    await allAnswer();
    expect(await stage.pid()).not.toBe(pid);
  } finally {
    child.kill("SIGINT");
  }
  expect(await child.exited).toBe(130);
  expect(existsSync(path)).toBe(false);
  const registry = join(stage.folder, "forwards");
  expect(existsSync(registry) ? readdirSync(registry) : []).toEqual([]);
});

test("-W brings all of its input to a target that has said its last word", async () => {
  let count = 0;
  const received = Promise.withResolvers<number>();
  const take = async (stream: ByteStream): Promise<void> => {
    await stream.end();
    for (let bytes = await stream.read(); bytes !== null; bytes = await stream.read())
      count += bytes.length;
    received.resolve(count);
  };
  const mute = listenTcp(
    { host: "127.0.0.1", port: 0 },
    {
      onConnection: (stream) => void take(stream).catch(() => received.resolve(count)),
    },
  );
  const words = ["connect", "dev", "-W", `127.0.0.1:${mute.port}`];
  const code = await runClientOnZeros(20_000_000, words, stage.env);
  expect([await received.promise, code]).toEqual([20_000_000, 0]);
  mute.close();
});

test("each signal that ends `forward` takes its sockets along", async () => {
  const path = join(stage.vault.folder, "signal.sock");
  for (const signal of ["SIGTERM", "SIGHUP", "SIGINT"] as const) {
    const child = spawnClient(["forward", "dev", `${path}:127.0.0.1:1`], stage.env);
    await untilSaid(child.stdout, /signal\.sock/);
    child.kill(signal);
    await child.exited;
    expect(existsSync(path)).toBe(false);
  }
  await until(() => readdirSync(join(stage.folder, "forwards")).length === 0);
});

async function untilSaid(stdout: ReadableStream<Uint8Array>, pattern: RegExp): Promise<void> {
  const reader = stdout.getReader();
  let text = "";
  while (!pattern.test(text)) {
    const { value, done } = await reader.read();
    if (done) throw new Error(`Ended: ${text}`);
    text += new TextDecoder().decode(value);
  }
  reader.releaseLock();
}

async function throughSocks(socks: number, port: number): Promise<string> {
  const answer = Promise.withResolvers<string>();
  let text = Buffer.alloc(0);
  const socket = await Bun.connect({
    hostname: "127.0.0.1",
    port: socks,
    allowHalfOpen: true,
    socket: {
      data: (_socket, bytes) => void (text = Buffer.concat([text, bytes])),
      end: () => answer.resolve(text.subarray(12).toString()),
      close: () => answer.resolve(text.subarray(12).toString()),
    },
  });
  socket.write(Uint8Array.of(5, 1, 0, 5, 1, 0, 1, 127, 0, 0, 1, port >> 8, port & 0xff));
  socket.shutdown();
  return answer.promise;
}
