import { expect, test } from "bun:test";
import { portHolder } from "../../src/system/port-holder.ts";
import { listenTcp } from "../../src/system/tcp-stream.ts";
import { listenUdp } from "../../src/system/udp-socket.ts";
import { freePort } from "../support/free-port.ts";

test("whoever listens is named; a port that nobody has is nobody's", async () => {
  // Ports that nobody else has at another address.
  const [one, other, third] = [freePort(), freePort(), freePort()];
  const tcp = listenTcp({ host: "127.0.0.1", port: one }, { onConnection: () => undefined });
  const six = listenTcp({ host: "::1", port: other }, { onConnection: () => undefined });
  const udp = await listenUdp({ host: "127.0.0.1", port: third }, () => undefined);
  for (const [protocol, port] of [
    ["tcp", tcp.port],
    ["tcp", six.port],
    ["udp", udp.port],
  ] as const) {
    const holder = portHolder(protocol, port, 4096);
    expect(holder?.pid).toBe(process.pid);
    expect(holder?.name).not.toBe("");
  }
  tcp.close();
  six.close();
  const { port } = udp;
  udp.close();
  expect(portHolder("udp", port, 4096)).toBeUndefined();
});

test("no more processes are looked at than was said", () => {
  const tcp = listenTcp({ host: "127.0.0.1", port: 0 }, { onConnection: () => undefined });
  expect(portHolder("tcp", tcp.port, 0)).toBeUndefined();
  tcp.close();
});
