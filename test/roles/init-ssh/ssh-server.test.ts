/* oxlint-disable no-underscore-dangle -- they are ssh2's own names */
import { afterEach, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import fc from "fast-check";
import ssh2 from "ssh2";
import { hostKeyAt } from "../../../src/roles/init/ssh/host-key.ts";
import { sshLimits } from "../../../src/roles/init/ssh/limits.ts";
import { SshServer } from "../../../src/roles/init/ssh/ssh-server.ts";
import { seeded } from "../../support/seed.ts";
import { listenTcp } from "../../../src/system/tcp-stream.ts";

/** The server with a client of the same library, over memory. */

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

const root = { name: "root", uid: 0, gid: 0, groups: [0], home: "/", shell: "/bin/sh" };

test("one connection has so many channels, and each that ends makes room", async () => {
  const client = await login((await start()).client);
  const target = listenTcp({ host: "127.0.0.1", port: 0 }, { onConnection: () => undefined });
  cleanups.push(() => target.close());
  const open = () => forward(client, target.port);
  const channels = [];
  for (let count = 0; count < sshLimits.channelsMax; count++) channels.push(await open());
  expect(await open().then(() => "yes", String)).toContain("Channel open failure");
  const last = channels.at(-1);
  last?.close();
  while ((await open().then(() => "yes", String)) !== "yes") await Bun.sleep(10);
});

test("whoever does not say who they are is hung up on", async () => {
  const { client, server } = await start(150);
  client.resume();
  const startedMs = performance.now();
  await once(server, "close");
  expect(performance.now() - startedMs).toBeWithin(140, 20_000);
});

test("a user who is in is not", async () => {
  const loginMs = 2000;
  const client = await login((await start(loginMs)).client);
  await Bun.sleep(1.2 * loginMs);
  const target = listenTcp({ host: "127.0.0.1", port: 0 }, { onConnection: () => undefined });
  cleanups.push(() => target.close());
  (await forward(client, target.port)).close();
});

test("no bytes before the login harm more than their own connection", async () => {
  const hello = Buffer.from("SSH-2.0-odd\r\n");
  const packets = [
    randomBytes(4096),
    Buffer.concat([hello, randomBytes(4096)]),
    Buffer.concat([hello, Buffer.from([0, 0, 0, 0])]),
    Buffer.concat([hello, Buffer.from([0xff, 0xff, 0xff, 0xff, 4, 20]), randomBytes(300)]),
    // A key exchange whose lists are longer than it is.
    Buffer.concat([
      hello,
      packet(Buffer.concat([Buffer.from([20]), randomBytes(16), Buffer.from([0xff, 0xff, 0, 0])])),
    ]),
    Buffer.concat([hello, packet(Buffer.from([30, 0, 0, 0, 32])), packet(Buffer.from([5]))]),
    ...[50, 80, 90, 94, 98, 100].map((type) => Buffer.concat([hello, packet(Buffer.from([type]))])),
    Buffer.from(`SSH-1.5-old\r\n`),
    Buffer.alloc(100_000, "a"),
  ];
  for (const bytes of packets) {
    const { client } = await start();
    client.resume();
    client.write(bytes);
    client.end();
  }
  await Bun.sleep(100);
  await login((await start()).client);
});

test("no packet of a user who is in harms more than their own connection", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.tuple(fc.constantFrom(...messageTypes), fc.constantFrom(...words), fc.uint8Array()),
        {
          minLength: 1,
          maxLength: 12,
        },
      ),
      async (messages) => {
        const client = await login((await start()).client);
        for (const [type, word, rest] of messages) sendRaw(client, messageOf(type, word, rest));
        await Bun.sleep(5);
        client.destroy();
      },
    ),
    seeded(25),
  );
  await login((await start()).client);
});

/** After the login: global requests and their answers, channels and all that is said on one. */
const messageTypes = [
  1, 2, 3, 4, 5, 6, 7, 20, 21, 30, 50, 52, 53, 80, 81, 82, 90, 91, 92, 93, 94, 95, 96, 97, 98, 99,
  100, 200,
];
const words = [
  "",
  "session",
  "direct-tcpip",
  "direct-streamlocal@openssh.com",
  "tcpip-forward",
  "pty-req",
  "env",
  "exec",
  "shell",
  "subsystem",
  "window-change",
  "signal",
  "x11-req",
];

function messageOf(type: number, word: string, rest: Uint8Array): Uint8Array {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(word.length);
  const channel = type >= 91 && type <= 100 ? Buffer.alloc(4) : Buffer.alloc(0);
  return Buffer.concat([Buffer.from([type]), channel, length, Buffer.from(word), rest]);
}

/** Past all that the library makes of it. */
function sendRaw(client: ssh2.Client, payload: Uint8Array): void {
  const { _protocol: protocol } = client as unknown as { readonly _protocol: RawProtocol };
  const { write } = protocol._packetRW;
  const bytes = write.alloc(payload.length);
  bytes.set(payload, write.allocStart);
  protocol._cipher.encrypt(write.finalize(bytes));
}

interface RawProtocol {
  readonly _cipher: { encrypt(packet: Uint8Array): void };
  readonly _packetRW: {
    readonly write: {
      readonly allocStart: number;
      alloc(length: number): Uint8Array;
      finalize(packet: Uint8Array): Uint8Array;
    };
  };
}

function packet(payload: Uint8Array): Buffer {
  const padding = 8 + ((8 - ((5 + payload.length + 8) % 8)) % 8);
  const head = Buffer.alloc(5);
  head.writeUInt32BE(1 + payload.length + padding);
  head[4] = padding;
  return Buffer.concat([head, payload, Buffer.alloc(padding)]);
}

const folder = mkdtempSync(join(tmpdir(), "fv-ssh-server-"));
const { privateKey: key } = await hostKeyAt(join(folder, "key"));
rmSync(folder, { recursive: true });

/** Over a socket: within one turn of the loop ssh2 would meet its own answers. */
async function start(loginMs?: number): Promise<{ client: Duplex; server: Duplex }> {
  const ssh = new SshServer({
    privateKey: key,
    keeperSocket: "/nowhere",
    guest: { account: async () => root } as never,
    agents: { pathFor: () => undefined } as never,
    log: () => undefined,
    ...(loginMs === undefined ? {} : { loginMs }),
  });
  const accepted = Promise.withResolvers<Socket>();
  const listener = createServer(accepted.resolve).listen(0, "127.0.0.1");
  await once(listener, "listening");
  const client = connect((listener.address() as { port: number }).port, "127.0.0.1");
  client.on("error", () => undefined);
  const server = await accepted.promise;
  listener.close();
  server.on("error", () => undefined);
  ssh.serve(Object.assign(server, { hasRoom: async () => undefined }) as never);
  cleanups.push(() => {
    client.destroy();
    server.destroy();
  });
  return { client, server };
}

async function login(sock: Duplex): Promise<ssh2.Client> {
  const client = new ssh2.Client();
  client.on("error", () => undefined);
  client.connect({ sock, username: "root" });
  await once(client, "ready");
  cleanups.push(() => client.destroy());
  return client;
}

function forward(client: ssh2.Client, port: number): Promise<ssh2.ClientChannel> {
  return new Promise((resolve, reject) => {
    client.forwardOut("127.0.0.1", 1, "127.0.0.1", port, (error, channel) => {
      if (error === undefined) resolve(channel);
      else reject(error);
    });
  });
}
