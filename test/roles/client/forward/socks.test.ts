import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import fc from "fast-check";
import { SocksHandshake, type SocksStep } from "../../../../src/roles/client/forward/socks.ts";
import { connectTcp } from "../../../../src/system/tcp-stream.ts";
import { seeded } from "../../../support/seed.ts";
import { TestVault } from "../../../support/test-vault.ts";
import { whileRunning } from "./forward-stage.ts";
import { freePort } from "../../../support/free-port.ts";

setDefaultTimeout(120_000);

const ascii = (text: string): number[] => [...new TextEncoder().encode(text)];
const greeting = [5, 1, 0];
const byName = [5, 1, 0, 3, 7, ...ascii("db.test"), 0x1f, 0x90];
const byNumber = [5, 1, 0, 1, 127, 0, 0, 1, 0, 80];
const bySix = [5, 1, 0, 4, ...Array.from({ length: 15 }, () => 0), 1, 0, 80];

/** Every step but waiting, however the bytes are cut. */
function steps(bytes: readonly number[], cut: number): { steps: SocksStep[]; rest: number[] } {
  const handshake = new SocksHandshake();
  const all: SocksStep[] = [];
  for (let at = 0; at < bytes.length; at += cut) {
    handshake.push(Uint8Array.from(bytes.slice(at, at + cut)));
    while (all.at(-1)?.kind !== "connect" && all.at(-1)?.kind !== "refuse") {
      const step = handshake.next();
      if (step.kind === "wait") break;
      all.push(step);
    }
  }
  return { steps: all, rest: [...handshake.rest] };
}

test.each([
  ["a name", byName, { host: "db.test", port: 8080 }],
  ["IPv4", byNumber, { host: "127.0.0.1", port: 80 }],
  ["IPv6", bySix, { host: "::1", port: 80 }],
])("SOCKS 5 by %s, a byte at a time and at once", (_, request, target) => {
  for (const cut of [1, 2, 1000]) {
    const { steps: found, rest } = steps([...greeting, ...request, 9, 9], cut);
    expect(found).toEqual([
      { kind: "send", bytes: Uint8Array.of(5, 0) },
      { kind: "connect", target },
    ]);
    expect(rest).toEqual([9, 9]);
  }
});

test("SOCKS 4 by number, 4a by name", () => {
  const four = [4, 1, 0, 80, 127, 0, 0, 1, ...ascii("me"), 0];
  expect(steps(four, 1).steps).toEqual([
    { kind: "connect", target: { host: "127.0.0.1", port: 80 } },
  ]);
  const named = [4, 1, 0, 80, 0, 0, 0, 1, 0, ...ascii("db.test"), 0, 7];
  expect(steps(named, 1)).toEqual({
    steps: [{ kind: "connect", target: { host: "db.test", port: 80 } }],
    rest: [7],
  });
});

test.each([
  ["another protocol", ascii("GET / HTTP/1.1\r\n"), "does not speak SOCKS"],
  ["a password", [5, 1, 2], "insists on a password"],
  ["BIND", [...greeting, 5, 2, 0, 1, 1, 2, 3, 4, 0, 80], "another command"],
  ["UDP ASSOCIATE", [...greeting, 5, 3, 0, 1, 0, 0, 0, 0, 0, 0], "another command"],
  ["an unknown kind of address", [...greeting, 5, 1, 0, 9, 1, 1], "no address"],
  ["port 0", [...greeting, 5, 1, 0, 1, 1, 2, 3, 4, 0, 0], "no usable address"],
  ["a name with a NUL", [...greeting, 5, 1, 0, 3, 1, 0, 0, 80], "no usable address"],
  ["SOCKS 4 BIND", [4, 2, 0, 80, 1, 2, 3, 4, 0], "another command"],
])("%s is refused", (_, bytes, because) => {
  expect(steps(bytes, 1).steps.at(-1)).toMatchObject({ kind: "refuse" });
  expect(JSON.stringify(steps(bytes, 100).steps.at(-1))).toContain(because);
});

test("any bytes: steps that end, and the same however they are cut", () => {
  const byte = fc.integer({ min: 0, max: 255 });
  const bytes = fc
    .tuple(
      fc.constantFrom<number[]>([], [...greeting, 5, 1, 0], [4, 1]),
      fc.array(byte, { maxLength: 40 }),
    )
    .map((parts) => parts.flat());
  fc.assert(
    fc.property(bytes, fc.integer({ min: 1, max: 7 }), (all, cut) => {
      const [whole, cutUp] = [steps(all, 1000), steps(all, cut)];
      expect(cutUp.steps).toEqual(whole.steps);
    }),
    seeded(1000),
  );
});

let vault: TestVault;
let server: Bun.Server<undefined>;

beforeAll(async () => {
  vault = await TestVault.open();
  server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: (request) => new Response(`seen ${new URL(request.url).hostname}`),
  });
});
afterAll(async () => {
  await server.stop(true);
  await vault.close();
});

async function curl(...words: string[]): Promise<{ code: number; out: string }> {
  const child = Bun.spawn(["curl", "-s", "-m", "10", ...words], { env: {}, stderr: "ignore" });
  const [out, code] = await Promise.all([child.stdout.text(), child.exited]);
  return { code, out };
}

test("curl through it: names are resolved in the vault, SOCKS 5 and 4a", async () => {
  const { out } = await whileRunning(["forward", "dev", "-D", "0"], vault.env, async (context) => {
    const port = Number(/127\.0\.0\.1:(\d+) ->/.exec(context.out())?.[1]);
    const proxy = `127.0.0.1:${port}`;
    const url = `http://localhost:${server.port}/`;
    expect(await curl("--socks5-hostname", proxy, url)).toEqual({ code: 0, out: "seen localhost" });
    expect(await curl("--socks4a", proxy, url)).toEqual({ code: 0, out: "seen localhost" });
    expect(vault.requests.findLast(({ type }) => type === "forward")).toMatchObject({
      host: "localhost",
    });
    // 97: the proxy said no.
    const closed = `http://localhost:${freePort()}/`;
    expect(await curl("--socks5-hostname", proxy, closed)).toMatchObject({ code: 97 });
    const stream = await connectTcp({ host: "127.0.0.1", port });
    await stream.write(new TextEncoder().encode("GET / HTTP/1.1\r\n\r\n"));
    expect(await stream.read()).toBeNull();
    expect(context.err()).toContain(
      `${port}: a connection is not served: it does not speak SOCKS 4 or 5\n`,
    );
  });
  expect(out).toMatch(/127\.0\.0\.1:\d+ -> dev \(SOCKS\) {3}up/);
});
