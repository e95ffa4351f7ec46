import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { main } from "../../../../src/roles/client/main.ts";
import { runClient, runClientOnZeros } from "../../../support/client-process.ts";
import { memoryContext } from "../../../support/memory-context.ts";
import { TestVault } from "../../../support/test-vault.ts";
import { answerTo, DigestServer } from "./forward-stage.ts";
import { freePort } from "../../../support/free-port.ts";

setDefaultTimeout(120_000);

let vault: TestVault;
let target: DigestServer;

beforeAll(async () => {
  vault = await TestVault.open();
  target = await DigestServer.listen({ host: "127.0.0.1" });
});
afterAll(async () => {
  target.close();
  await vault.close();
});

test("standard input and output are the connection, byte for byte", async () => {
  const question = new Uint8Array(2_000_000).map((_, index) => (index * 7) & 0xff);
  const words = ["connect", "dev", "-W", `127.0.0.1:${target.port}`];
  const { code, out, err } = await runClient(words, vault.env, question);
  expect({ code, out: new TextDecoder().decode(out) }).toEqual({
    code: 0,
    out: answerTo(question),
  });
  expect(err).not.toContain("->");
});

test("a socket of the vault by its path", async () => {
  const inside = await DigestServer.listen({ path: join(vault.folder, "inside.sock") });
  const context = memoryContext({ env: vault.env, stdin: [new Uint8Array(4)] });
  expect(await main(["connect", "dev", "-W", "/inside.sock"], context)).toBe(0);
  expect(context.out()).toBe(answerTo(new Uint8Array(4)));
  inside.close();
});

test("a target that says its last word first still gets all that it is sent", async () => {
  const received = Promise.withResolvers<number>();
  let count = 0;
  const mute = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    allowHalfOpen: true,
    socket: {
      open: (socket) => {
        socket.shutdown();
      },
      data: (_socket, bytes) => void (count += bytes.length),
      end: () => received.resolve(count),
      close: () => received.resolve(count),
    },
  });
  const words = ["connect", "dev", "-W", `127.0.0.1:${mute.port}`];
  const code = await runClientOnZeros(20_000_000, words, vault.env);
  expect(await received.promise).toBe(20_000_000);
  expect(code).toBe(0);
  mute.stop(true);
});

test("a target that is gone ends it, though the input goes on in silence", async () => {
  const gone = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: { open: (socket) => void socket.end("bye"), data: () => {} },
  });
  const silence = Promise.withResolvers<never>();
  const context = memoryContext({ env: vault.env });
  const stdin = {
    ...context.stdin,
    async *read() {
      yield await silence.promise;
    },
  };
  const words = ["connect", "dev", "-W", `127.0.0.1:${gone.port}`];
  expect(await main(words, { ...context, stdin })).toBe(0);
  expect(context.out()).toBe("bye");
  gone.stop(true);
});

test("a refused target is FV-FWD-003, and nothing is on stdout", async () => {
  const context = memoryContext({ env: vault.env });
  expect(await main(["connect", "dev", "-W", `127.0.0.1:${freePort()}`], context)).toBe(6);
  expect(context.err()).toContain("FV-FWD-003");
  expect(context.out()).toBe("");
});

test("a target that is none is a usage error", async () => {
  const context = memoryContext({ env: vault.env });
  expect(await main(["connect", "dev", "-W", "22"], context)).toBe(2);
  expect(context.err()).toContain("-W 22 is not HOST:PORT");
});
