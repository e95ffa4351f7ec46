import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { encodeFrame, frameTypes } from "../../src/protocol/frame.ts";
import { encodeLoginMessage, LoginMessageDecoder } from "../../src/protocol/login-message.ts";
import { encodeJson } from "../../src/protocol/message.ts";
import type { ByteStream } from "../../src/protocol/byte-stream.ts";
import { listenTcp } from "../../src/system/tcp-stream.ts";
import { AttackStage } from "./stage.ts";

setDefaultTimeout(120_000);

let stage: AttackStage;
beforeAll(async () => {
  stage = await AttackStage.open();
});
afterAll(async () => {
  await stage.close();
});

const hello = encodeLoginMessage({
  kind: "hello",
  version: 1,
  nonce: new Uint8Array(32).fill(3),
  features: 0,
});

function requestFrame(body: unknown): Uint8Array {
  return encodeFrame(frameTypes.request, encodeJson(body));
}

async function readEvidence(stream: ByteStream): Promise<void> {
  const decoder = new LoginMessageDecoder(["evidence"]);
  for (;;) {
    const bytes = await stream.read();
    if (bytes === null) throw new Error("The stream ended");
    if (decoder.push(bytes).length > 0) return;
  }
}

test("requests on 300 streams before ACCEPT: nothing runs, connects or is answered", async () => {
  let connected = 0;
  const target = listenTcp(
    { host: "127.0.0.1", port: 0 },
    { onConnection: () => (connected += 1) },
  );
  const client = await stage.login.client();
  const connection = await client.connect(stage.address, { timeoutMs: 20_000 });
  const loginStream = await connection.openStream();
  await loginStream.write(hello);
  let answered = 0;
  const open = async (index: number): Promise<void> => {
    const stream = await connection.openStream();
    const id = `early-${index}`;
    const body = [
      { type: "forward", host: "127.0.0.1", port: target.port },
      { type: "session-open", id, client: id, tty: false, argv: ["true"] },
      { type: "provision", id, source: { kind: "upload" } },
    ][index % 3];
    await stream.write(requestFrame(body));
    const answer = await stream.read().catch(() => null);
    if (answer !== null) answered += 1;
  };
  const streams = Array.from({ length: 300 }, (_, index) => open(index).catch(() => undefined));
  await readEvidence(loginStream);
  await Bun.sleep(500);
  await loginStream.write(encodeLoginMessage({ kind: "proof", proof: new Uint8Array(32) }));
  expect(await connection.closed).toMatchObject({ kind: "peer-application", code: 1 });
  await Promise.all(streams);
  expect({ answered, connected }).toEqual({ answered: 0, connected: 0 });
  expect(await stage.machine.sessions()).toEqual([]);
  expect((await stage.machine.status()).vm_state).toBe("ready");
  target.close();
});

test("a request in the place of HELLO, and 300 empty streams, end the connection and no other", async () => {
  const honest = await stage.logIn();
  const client = await stage.login.client();
  const connection = await client.connect(stage.address, { timeoutMs: 20_000 });
  const first = await connection.openStream();
  await first.write(requestFrame({ type: "status" }));
  for (let index = 0; index < 300; index += 1) {
    const opened = await connection.openStream().catch(() => undefined);
    await opened?.write(Uint8Array.of(1)).catch(() => undefined);
  }
  expect(await connection.closed).toMatchObject({ kind: "peer-application", code: 1 });
  expect(await first.read().catch(() => null)).toBeNull();
  const stream = await honest.openStream();
  await stream.write(requestFrame({ type: "status" }));
  expect((await stream.read())?.[0]).toBe(frameTypes.ok);
  honest.close(0, "");
});
