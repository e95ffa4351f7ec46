import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, statSync } from "node:fs";
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import { clientLimits } from "../../../../src/roles/client/limits.ts";
import { main } from "../../../../src/roles/client/main.ts";
import {
  connectTcp,
  type Listening,
  listenTcp,
  listenUnix,
} from "../../../../src/system/tcp-stream.ts";
import { memoryContext, type MemoryContext } from "../../../support/memory-context.ts";
import { rejection } from "../../../support/rejection.ts";
import { TestVault } from "../../../support/test-vault.ts";
import { answerTo, ask, DigestServer, readText, until, whileRunning } from "./forward-stage.ts";
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

const forwarding = (specs: string[], work: (context: MemoryContext) => Promise<void>) =>
  whileRunning(["connect", "-N", "dev", ...specs.flatMap((spec) => ["-L", spec])], vault.env, work);

test("bytes and ends pass both ways, for many connections at once", async () => {
  const port = freePort();
  const question = new Uint8Array(3_000_000).map((_, index) => (index * 3) & 0xff);
  const { code } = await forwarding([`${port}:127.0.0.1:${target.port}`], async (context) => {
    expect(context.err()).toContain(`127.0.0.1:${port} -> dev 127.0.0.1:${target.port}\n`);
    const answers = await Promise.all(Array.from({ length: 20 }, () => ask(port, question)));
    for (const answer of answers) expect(answer).toBe(answerTo(question));
  });
  expect(code).toBe(130);
  // The listener is gone with the command.
  expect(await ask(port, question).catch((error: Error) => error.name)).toBe("SocketError");
});

test("a refused target is told once in a while, and the forward goes on", async () => {
  const [port, closed, good] = [freePort(), freePort(), freePort()];
  const specs = [`${port}:localhost:${closed}`, `${good}:127.0.0.1:${target.port}`];
  const { err } = await forwarding(specs, async () => {
    for (let i = 0; i < 3; i++)
      expect(await ask(port, new Uint8Array(1)).catch((error: Error) => error.name)).toBe(
        "StreamError",
      );
    expect(await ask(good, new Uint8Array(5))).toStartWith("5 ");
  });
  expect(err.split(`${port}: nothing listens on dev:${closed}`)).toHaveLength(2);
});

test("a name that leads nowhere from the vault is told as that", async () => {
  const port = freePort();
  vault.onRequest = undefined;
  const { err } = await forwarding([`${port}:nobody.invalid:80`], async () => {
    await ask(port, new Uint8Array(1)).catch(() => undefined);
  });
  expect(err).toContain("nobody.invalid:80 (seen from dev)");
});

test("a connection made while the link is down waits for it", async () => {
  const port = freePort();
  await forwarding([`${port}:127.0.0.1:${target.port}`], async () => {
    const restarting = vault.restartLink(700);
    await Bun.sleep(50);
    expect(await ask(port, new Uint8Array(9))).toStartWith("9 ");
    await restarting;
    expect(await ask(port, new Uint8Array(8))).toStartWith("8 ");
  });
});

test("a port in use is FV-FWD-001 before anything is sent, and says who has it", async () => {
  const taken = listenTcp({ host: "127.0.0.1", port: 0 }, { onConnection: () => undefined });
  const before = vault.connectionCount;
  const context = memoryContext({ env: vault.env });
  expect(await main(["connect", "dev", "-L", `${taken.port}:localhost:80`], context)).toBe(7);
  expect(context.err()).toContain(`port ${taken.port} on this computer is in use`);
  expect(context.err()).toContain(`(pid ${process.pid}) listens on it`);
  expect(context.err()).toMatch(/fix: +choose another one: +-L \d+:localhost:80/);
  expect(vault.connectionCount).toBe(before);
  taken.close();
});

test("the port that is proposed instead is a free one", async () => {
  // Not one of those that the system gives away: it would be gone again, or taken, a moment later.
  const port = freePort();
  const first = listenTcp({ host: "127.0.0.1", port }, { onConnection: () => undefined });
  const second = listenOn(port + 1);
  const context = memoryContext({ env: vault.env });
  await main(["connect", "dev", "-L", `${first.port}:localhost:80`], context);
  const proposed = Number(/-L (\d+):/.exec(context.err())?.[1]);
  expect(proposed).toBeGreaterThan(first.port + 1);
  expect(await ask(proposed, new Uint8Array(1)).catch((e: Error) => e.name)).toBe("SocketError");
  first.close();
  second?.close();
});

test("forwards of the configuration are used unless some are said", async () => {
  const [configured, said] = [freePort(), freePort()];
  await vault.configure({ forward: [`${configured}:127.0.0.1:${target.port}`] });
  const none = await forwarding([], async () => {
    expect(await ask(configured, new Uint8Array(4))).toStartWith("4 ");
  });
  expect(none.err).toContain(`127.0.0.1:${configured}`);
  const { err } = await forwarding([`${said}:127.0.0.1:${target.port}`], async () => undefined);
  expect(err).not.toContain(`127.0.0.1:${configured}`);
  await vault.configure({});
});

test.each([
  [["-L", "4001:a:1", "-L", "4001:b:2"], "two forwards listen on 127.0.0.1:4001"],
  [["-L", "4000-4002", "-D", "4001"], "two forwards listen on 127.0.0.1:4001"],
  [["-R", "4001", "-R", "4001:b:2"], "two forwards listen on the vault's 127.0.0.1:4001"],
  [["-L", "20000-20255", "-L", "1"], "257 forwards, at most 256"],
  [["-R", "9000-9031", "-R", "1"], "33 forwards by -R, at most 32"],
  [["-L", "80:x:y:z:1"], "-L 80:x:y:z:1 has 5 parts"],
  [["-L", "*:80:x:80"], "say --gateway if that is meant"],
  [["-W", "x:1", "-N"], "-W and -N exclude each other"],
])("%j is a usage error", async (words, why) => {
  const context = memoryContext({ env: vault.env });
  expect(await main(["connect", "dev", ...words], context)).toBe(2);
  expect(context.err()).toContain(why);
});

test("a range is one forward of many ports", async () => {
  // Two in a row that are free here, both of one target.
  const first = await freePair();
  const spec = `${first}-${first + 1}:127.0.0.1:${target.port}-${target.port + 1}`;
  await forwarding([spec], async (context) => {
    expect(context.err()).toContain(
      `127.0.0.1:${first}-${first + 1} -> dev 127.0.0.1:${target.port}-${target.port + 1}\n`,
    );
    expect(await ask(first, new Uint8Array(3))).toStartWith("3 ");
  });
});

async function freePair(): Promise<number> {
  for (;;) {
    const port = freePort();
    const next = listenOn(port + 1);
    next?.close();
    if (next !== undefined) return port;
  }
}

function listenOn(port: number): Listening | undefined {
  try {
    return listenTcp({ host: "127.0.0.1", port }, { onConnection: () => undefined });
  } catch {
    return undefined;
  }
}

test("port 0 here takes a free one and says it", async () => {
  await forwarding([`0:127.0.0.1:${target.port}`], async (context) => {
    const port = Number(/127\.0\.0\.1:(\d+) ->/.exec(context.err())?.[1]);
    expect(await ask(port, new Uint8Array(2))).toStartWith("2 ");
  });
});

test("Unix sockets at both ends; a stale one here gives way, a live one and a file do not", async () => {
  const inside = await DigestServer.listen({ path: join(vault.folder, "inside.sock") });
  const path = join(vault.folder, "local.sock");
  const specs = [`${path}:/inside.sock`];
  const stale = listenUnix(`${path}.tmp`, { onConnection: () => undefined });
  await Bun.$`mv ${path}.tmp ${path}`.quiet();
  stale.close();
  expect(existsSync(path)).toBe(true);
  await forwarding(specs, async () => {
    expect(statSync(path).mode & 0o777).toBe(0o600);
    const question = new Uint8Array(1_000_000).fill(7);
    expect(await ask({ path }, question)).toBe(answerTo(question));
    const second = memoryContext({ env: vault.env });
    expect(await main(["connect", "-N", "dev", "-L", specs[0] ?? ""], second)).toBe(7);
    expect(second.err()).toContain(`"${path}" is there already`);
  });
  expect(existsSync(path)).toBe(false);
  await Bun.write(path, "precious");
  const third = memoryContext({ env: vault.env });
  expect(await main(["connect", "-N", "dev", "-L", specs[0] ?? ""], third)).toBe(7);
  expect(await Bun.file(path).text()).toBe("precious");
  inside.close();
});

const hasIpv6 = Object.values(networkInterfaces())
  .flat()
  .some((one) => one?.address === "::1");

test.if(hasIpv6)("IPv6 here and there", async () => {
  const six = await DigestServer.listen({ host: "::1" });
  const port = freePort();
  await forwarding([`[::1]:${port}:[::1]:${six.port}`], async (context) => {
    expect(context.err()).toContain(`[::1]:${port} -> dev [::1]:${six.port}\n`);
    expect(await ask({ host: "::1", port }, new Uint8Array(6))).toStartWith("6 ");
  });
  six.close();
});

test("a stalled client holds up no other", async () => {
  const source = listenTcp(
    { host: "127.0.0.1", port: 0 },
    {
      onConnection: (stream) => {
        const block = new Uint8Array(256 * 1024);
        const pour = async (): Promise<void> => {
          for (let i = 0; i < 64; i++) await stream.write(block);
          await stream.end();
        };
        pour().catch(() => undefined);
      },
    },
  );
  const port = freePort();
  await forwarding([`${port}:127.0.0.1:${source.port}`], async () => {
    const stalled = await connectTcp({ host: "127.0.0.1", port });
    const other = await connectTcp({ host: "127.0.0.1", port });
    expect((await readText(other)).length).toBe(64 * 256 * 1024);
    stalled.abort(0);
  });
  source.close();
});

test("a reset there is a reset here", async () => {
  const server = listenTcp(
    { host: "127.0.0.1", port: 0 },
    { onConnection: (stream) => void stream.read().then(() => stream.abort(0)) },
  );
  const port = freePort();
  await forwarding([`${port}:127.0.0.1:${server.port}`], async () => {
    const stream = await connectTcp({ host: "127.0.0.1", port });
    await stream.write(new Uint8Array(1));
    expect(await rejection(stream.read())).toMatchObject({ name: "StreamError", kind: "reset" });
  });
  server.close();
});

test("no more connections at once than there may be", async () => {
  const port = freePort();
  let open = 0;
  vault.onRequest = (request) => {
    if (request.type === "forward") open += 1;
    return undefined;
  };
  const { err } = await forwarding([`${port}:127.0.0.1:${target.port}`], async () => {
    const all = await Promise.all(
      Array.from({ length: clientLimits.forwardConnectionsMax }, () =>
        connectTcp({ host: "127.0.0.1", port }),
      ),
    );
    await until(() => open === clientLimits.forwardConnectionsMax);
    // Reset before or after the caller has seen that it is connected.
    const beyond = connectTcp({ host: "127.0.0.1", port }).then((stream) => stream.read());
    expect(await rejection(beyond)).toMatchObject({ name: expect.stringMatching(/Error$/) });
    for (const stream of all) stream.abort(0);
  });
  vault.onRequest = undefined;
  expect(err.match(/256 connections are open, no more at once/g)).toHaveLength(1);
});

test.each([
  ["/none/x.sock:1", /cause: there is no folder \/none\n.*mkdir -p '\/none'/],
  ["/dev/null/x.sock:1", /cause: \/dev\/null is no folder/],
])("where %s cannot be had it is said in words", async (spec, why) => {
  const context = memoryContext({ env: vault.env });
  expect(await main(["connect", "-N", "dev", "-L", spec], context)).toBe(2);
  expect(context.err()).toMatch(why);
});
