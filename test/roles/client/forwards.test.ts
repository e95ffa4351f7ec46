import { afterAll, beforeAll, expect, test } from "bun:test";
import { once } from "node:events";
import { createServer, type Server } from "node:net";
import type { ByteStream } from "../../../src/protocol/byte-stream.ts";
import { main } from "../../../src/roles/client/main.ts";
import { connectTcp, listenTcp } from "../../../src/system/tcp-stream.ts";
import { memoryContext, type MemoryContext } from "../../support/memory-context.ts";
import { TestVault } from "../../support/test-vault.ts";

let vault: TestVault;
let target: Server;
let targetPort: number;

beforeAll(async () => {
  vault = await TestVault.open();
  // Answers only after the question has ended: proof of half-close.
  target = createServer({ allowHalfOpen: true }, (socket) => {
    const hash = new Bun.CryptoHasher("sha256");
    let length = 0;
    socket.on("data", (bytes) => {
      hash.update(bytes);
      length += bytes.length;
    });
    socket.on("end", () => socket.end(`${length} ${hash.digest("hex")}`));
    socket.on("error", () => undefined);
  });
  target.listen(0, "127.0.0.1");
  await once(target, "listening");
  const address = target.address();
  targetPort = typeof address === "object" && address !== null ? address.port : 0;
});
afterAll(async () => {
  target.close();
  await vault.close();
});

async function freePort(): Promise<number> {
  const probe = listenTcp({ host: "127.0.0.1", port: 0 }, { onConnection: () => undefined });
  const { port } = probe;
  probe.close();
  return port;
}

async function forwarding(specs: string[], work: (context: MemoryContext) => Promise<void>) {
  const context = memoryContext({ env: vault.env });
  const words = ["connect", "-N", "dev", ...specs.flatMap((spec) => ["-L", spec])];
  const running = main(words, context);
  while (!context.err().includes("->")) await Bun.sleep(5);
  try {
    await work(context);
  } finally {
    context.stop("SIGINT");
  }
  return { code: await running, err: context.err() };
}

async function ask(port: number, question: Uint8Array): Promise<string> {
  const stream = await connectTcp({ host: "127.0.0.1", port });
  await stream.write(question);
  await stream.end();
  return readText(stream);
}

async function readText(stream: ByteStream): Promise<string> {
  let text = "";
  for (;;) {
    const bytes = await stream.read();
    if (bytes === null) return text;
    text += new TextDecoder().decode(bytes);
  }
}

test("bytes and ends pass both ways, for many connections at once", async () => {
  const port = await freePort();
  const question = new Uint8Array(3_000_000).map((_, index) => (index * 3) & 0xff);
  const expected = new Bun.CryptoHasher("sha256").update(question).digest("hex");
  const { code } = await forwarding([`${port}:127.0.0.1:${targetPort}`], async (context) => {
    expect(context.err()).toContain(`127.0.0.1:${port} -> 127.0.0.1:${targetPort}\n`);
    const answers = await Promise.all(Array.from({ length: 20 }, () => ask(port, question)));
    for (const answer of answers) expect(answer).toBe(`3000000 ${expected}`);
  });
  expect(code).toBe(130);
  // The listener is gone with the command.
  expect(await ask(port, question).catch((error: Error) => error.name)).toBe("SocketError");
});

test("a refused target is told for each connection, and the forward goes on", async () => {
  const [port, closed] = [await freePort(), await freePort()];
  const good = await freePort();
  const specs = [`${port}:127.0.0.1:${closed}`, `${good}:127.0.0.1:${targetPort}`];
  const { err } = await forwarding(specs, async () => {
    for (let i = 0; i < 2; i++)
      expect(await ask(port, new Uint8Array(1)).catch((error: Error) => error.name)).toBe(
        "StreamError",
      );
    expect(await ask(good, new Uint8Array(5))).toStartWith("5 ");
  });
  expect(err.match(new RegExp(`${port}: nothing listens on that port`, "g"))).toHaveLength(2);
});

test("a connection made while the link is down waits for it", async () => {
  const port = await freePort();
  await forwarding([`${port}:127.0.0.1:${targetPort}`], async () => {
    const restarting = vault.restartLink(700);
    await Bun.sleep(50);
    expect(await ask(port, new Uint8Array(9))).toStartWith("9 ");
    await restarting;
    expect(await ask(port, new Uint8Array(8))).toStartWith("8 ");
  });
}, 15_000);

test("a port in use is FV-FWD-001 before anything is sent", async () => {
  const taken = listenTcp({ host: "127.0.0.1", port: 0 }, { onConnection: () => undefined });
  const before = vault.connectionCount;
  const context = memoryContext({ env: vault.env });
  expect(await main(["connect", "dev", "-L", `${taken.port}:localhost:80`], context)).toBe(7);
  expect(context.err()).toContain(`port ${taken.port} on this computer is in use`);
  expect(context.err()).toContain(`-L ${taken.port + 1}:localhost:80`);
  expect(vault.connectionCount).toBe(before);
  taken.close();
});

test("forwards of the configuration are used unless some are said", async () => {
  const [configured, said] = [await freePort(), await freePort()];
  await vault.configure({ forward: [`${configured}:127.0.0.1:${targetPort}`] });
  const none = await forwarding([], async () => {
    expect(await ask(configured, new Uint8Array(4))).toStartWith("4 ");
  });
  expect(none.err).toContain(`127.0.0.1:${configured}`);
  const { err } = await forwarding([`${said}:127.0.0.1:${targetPort}`], async () => undefined);
  expect(err).not.toContain(`127.0.0.1:${configured}`);
  await vault.configure({});
});

test("two forwards on one port, and more than there may be, are usage errors", async () => {
  const twice = memoryContext({ env: vault.env });
  expect(await main(["connect", "dev", "-L", "4001:a:1", "-L", "4001:b:2"], twice)).toBe(2);
  expect(twice.err()).toContain("two forwards listen on 127.0.0.1:4001");
  const many = memoryContext({ env: vault.env });
  const specs = Array.from({ length: 257 }, (_, index) => ["-L", String(20_000 + index)]).flat();
  expect(await main(["connect", "dev", ...specs], many)).toBe(2);
  expect(many.err()).toContain("257 forwards, at most 256");
});

test("a spec that is none is a usage error", async () => {
  const context = memoryContext({ env: vault.env });
  expect(await main(["connect", "dev", "-L", "80:x:y:z:1"], context)).toBe(2);
  expect(context.err()).toContain("--forward 80:x:y:z:1 is not");
});
