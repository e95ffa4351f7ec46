import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import type { ForwardDoor } from "../../../../src/roles/client/forward/forward-door.ts";
import { parseForward } from "../../../../src/roles/client/forward/forward-spec.ts";
import { LocalUdpForward } from "../../../../src/roles/client/forward/local-udp-forward.ts";
import { clientLimits } from "../../../../src/roles/client/limits.ts";
import { main } from "../../../../src/roles/client/main.ts";
import { freePort } from "../../../support/free-port.ts";
import { memoryContext, type MemoryContext } from "../../../support/memory-context.ts";
import { TestVault } from "../../../support/test-vault.ts";
import { until, whileRunning } from "./forward-stage.ts";

setDefaultTimeout(120_000);

let vault: TestVault;
let echo: Bun.udp.Socket<"buffer">;

beforeAll(async () => {
  vault = await TestVault.open();
  echo = await Bun.udpSocket({
    hostname: "127.0.0.1",
    socket: {
      data: (socket, bytes, port, address) => {
        socket.send(bytes, port, address);
      },
      error: () => undefined,
    },
  });
});
afterAll(async () => {
  echo.close();
  await vault.close();
});

/** Somebody who sends from an address of their own. */
class Sender {
  readonly received: string[] = [];
  readonly lengths: number[] = [];
  readonly #socket: Bun.udp.ConnectedSocket<"buffer">;

  static async to(port: number): Promise<Sender> {
    let sender: Sender | undefined;
    const socket = await Bun.udpSocket({
      connect: { hostname: "127.0.0.1", port },
      socket: {
        data: (_, bytes) => {
          sender?.received.push(bytes.toString());
          sender?.lengths.push(bytes.length);
        },
        error: () => undefined,
      },
    });
    sender = new Sender(socket);
    return sender;
  }

  private constructor(socket: Bun.udp.ConnectedSocket<"buffer">) {
    this.#socket = socket;
  }

  send(what: string | Uint8Array): void {
    this.#socket.send(what);
  }

  close(): void {
    this.#socket.close();
  }
}

async function forwarding(
  target: number,
  work: (port: number, context: MemoryContext) => Promise<void>,
) {
  const words = ["forward", "dev", `0:127.0.0.1:${target}/udp`];
  return whileRunning(words, vault.env, async (context) => {
    const port = Number(/127\.0\.0\.1:(\d+)\/udp ->/.exec(context.out())?.[1]);
    await work(port, context);
  });
}

test("datagrams come back to whoever sent them, whole: empty ones and the largest too", async () => {
  const { out } = await forwarding(echo.port, async (port) => {
    const [first, second] = [await Sender.to(port), await Sender.to(port)];
    first.send("one");
    second.send("two");
    await until(() => first.received.length === 1 && second.received.length === 1);
    expect([first.received, second.received]).toEqual([["one"], ["two"]]);
    first.send(new Uint8Array(0));
    first.send(new Uint8Array(65_507));
    await until(() => first.lengths.length === 3);
    expect(first.lengths).toEqual([3, 0, 65_507]);
    first.close();
    second.close();
  });
  expect(out).toMatch(/127\.0\.0\.1:\d+\/udp -> dev 127\.0\.0\.1:\d+\/udp {3}up/);
});

test("where nobody listens datagrams are lost, and what comes later gets through", async () => {
  const target = freePort();
  await forwarding(target, async (port) => {
    const sender = await Sender.to(port);
    sender.send("lost");
    await until(() => vault.requests.at(-1)?.type === "forward-udp");
    const now = await Bun.udpSocket({
      hostname: "127.0.0.1",
      port: target,
      socket: {
        data: (socket, bytes, from, address) => {
          socket.send(bytes, from, address);
        },
      },
    });
    // The network may still tell of the one that was lost, in the place of the next.
    await until(() => {
      sender.send("found");
      return sender.received.includes("found");
    });
    now.close();
    sender.close();
  });
});

test("datagrams come through again after the link was lost", async () => {
  await forwarding(echo.port, async (port) => {
    const sender = await Sender.to(port);
    sender.send("before");
    await until(() => sender.received.includes("before"));
    await vault.restartLink(200);
    await until(() => {
      sender.send("after");
      return sender.received.includes("after");
    });
    sender.close();
  });
});

test("no more peers at once than there may be; one line says so", async () => {
  const { err } = await forwarding(echo.port, async (port) => {
    const senders = await Promise.all(
      Array.from({ length: clientLimits.udpPeersMax + 3 }, () => Sender.to(port)),
    );
    for (const sender of senders) sender.send("x");
    const served = (): number => senders.filter(({ received }) => received.length > 0).length;
    await until(() => served() === clientLimits.udpPeersMax);
    await Bun.sleep(50);
    expect(served()).toBe(clientLimits.udpPeersMax);
    for (const sender of senders) sender.close();
  });
  expect(err.match(/64 peers are served/g)).toHaveLength(1);
});

test("whoever was silent longest gives way to one more, as to a resolver's next question", async () => {
  await forwarding(echo.port, async (port) => {
    const first = await Sender.to(port);
    first.send("first");
    await until(() => first.received.length === 1);
    const others = await Promise.all(
      Array.from({ length: clientLimits.udpPeersMax - 1 }, () => Sender.to(port)),
    );
    for (const other of others) other.send("x");
    await until(() => others.every(({ received }) => received.length === 1));
    const before = requestsOfUdp();
    const next = await Sender.to(port);
    await until(() => {
      next.send("next");
      return next.received.includes("next");
    });
    // All others have their streams still; the first needs another.
    for (const other of others) other.send("y");
    await until(() => others.every(({ received }) => received.length === 2));
    expect(requestsOfUdp()).toBe(before + 1);
    for (const sender of [first, next, ...others]) sender.close();
  });
});

test("none whose stream is still being opened gives way: their number has an end", async () => {
  let opened = 0;
  const door = {
    vault: "dev",
    open: async () => {
      opened += 1;
      return new Promise<never>(() => undefined);
    },
  } as unknown as ForwardDoor;
  const spec = parseForward("L", "0:127.0.0.1:9/udp");
  const notes: string[] = [];
  const note = (line: string): unknown => notes.push(line);
  const forward = await LocalUdpForward.open(spec, door, { note, changed: () => undefined });
  const { port } = forward.listen as { port: number };
  const senders: Sender[] = [];
  for (let round = 0; round < 2; round++) {
    for (let count = 0; count < clientLimits.udpPeersMax; count++) {
      const sender = await Sender.to(port);
      sender.send("x");
      senders.push(sender);
    }
    await until(() => opened === clientLimits.udpPeersMax);
    await Bun.sleep(clientLimits.udpBusyMs + 100);
  }
  expect(opened).toBe(clientLimits.udpPeersMax);
  expect(notes.length).toBeGreaterThan(0);
  for (const sender of senders) sender.close();
  await forward.close();
});

function requestsOfUdp(): number {
  return vault.requests.filter(({ type }) => type === "forward-udp").length;
}

test("a UDP port in use is FV-FWD-001", async () => {
  const context = memoryContext({ env: vault.env });
  expect(await main(["forward", "dev", `${echo.port}/udp`], context)).toBe(7);
  expect(context.err()).toContain(`port ${echo.port} on this computer is in use`);
});

test("the UDP port that is proposed instead is a free one", async () => {
  const hostname = "127.0.0.1";
  const port = freePort();
  const first = await Bun.udpSocket({ hostname, port });
  // Taken already by somebody else it serves as well.
  const second = await Bun.udpSocket({ hostname, port: port + 1 }).catch(() => undefined);
  const context = memoryContext({ env: vault.env });
  await main(["forward", "dev", `${port}/udp`], context);
  const proposed = Number(/-L (\d+):localhost:\d+\/udp/.exec(context.err())?.[1]);
  expect(proposed).toBeGreaterThan(port + 1);
  first.close();
  second?.close();
});
