import { afterEach, expect, test } from "bun:test";
import { limits } from "../../../src/protocol/limits.ts";
import { initLimits } from "../../../src/roles/init/limits.ts";
import { GuestPorts, type GuestSocket } from "../../../src/roles/init/ports/guest-ports.ts";
import { PortWatch } from "../../../src/roles/init/ports/port-watch.ts";
import { describePorts } from "../../../src/roles/init/ports/ports-stream.ts";
import { type Listening, listenTcp } from "../../../src/system/tcp-stream.ts";

/** Who counts as the guest, with processes of this test in its place. */

const open: Listening[] = [];
afterEach(() => {
  for (const listening of open.splice(0)) listening.close();
});

function listen(): number {
  const listening = listenTcp({ host: "127.0.0.1", port: 0 }, { onConnection: () => undefined });
  open.push(listening);
  return listening.port;
}

const portsOf = (sockets: readonly GuestSocket[]) => sockets.map(({ port }) => port);

test("a socket counts for the roots whose processes have it, and for nobody else", async () => {
  const port = listen();
  const roots: number[] = [];
  const ports = new GuestPorts(() => roots);
  for (let look = 0; look < initLimits.portMissesMax - 1; look += 1)
    expect(portsOf(await ports.look())).not.toContain(port);
  roots.push(process.pid);
  const found = (await ports.look()).find((socket) => socket.port === port);
  expect(found?.owner.ancestors[0]).toBe(process.pid);
  expect(found?.owner.ancestors).toContain(process.ppid);
  open.pop()?.close();
  expect(portsOf(await ports.look())).not.toContain(port);
});

test("a socket that was nobody's for so many looks is not searched for again", async () => {
  const port = listen();
  const roots: number[] = [];
  const ports = new GuestPorts(() => roots);
  for (let look = 0; look < initLimits.portMissesMax; look += 1) await ports.look();
  roots.push(process.pid);
  expect(portsOf(await ports.look())).not.toContain(port);
  // A new one is.
  const other = listen();
  expect(portsOf(await ports.look())).toContain(other);
});

const socket = (port: number, host = "0.0.0.0", process = "node"): GuestSocket => ({
  host,
  port,
  owner: { process, insidePid: 7, ancestors: [100, 90], startTicks: 1 },
});

test("each port is told once, with its widest address, and no more than the protocol allows", () => {
  const told = describePorts(
    [socket(80, "127.0.0.1"), socket(80, "10.0.0.1"), socket(80, "::"), socket(22, "::1", "a\nb")],
    90,
  );
  expect(told).toEqual([
    { port: 22, host: "::1", process: "a b", pid: 7, in_session: true },
    { port: 80, host: "::", process: "node", pid: 7, in_session: true },
  ]);
  const many = Array.from({ length: limits.portsMax + 9 }, (_, at) => socket(1 + at));
  expect(describePorts(many, 1)).toHaveLength(limits.portsMax);
  expect(describePorts(many, 1)[0]?.in_session).toBeUndefined();
});

test("nobody looks while nobody watches, and only so many may watch", async () => {
  let looks = 0;
  const watch = new PortWatch(async () => {
    looks += 1;
    return [socket(looks)];
  });
  const told: number[][] = [];
  const leave = [watch.watch((sockets) => told.push(portsOf(sockets)))];
  await Bun.sleep(10);
  expect(told[0]).toEqual([1]);
  while (leave.length < initLimits.portWatchersMax) leave.push(watch.watch(() => undefined));
  expect(() => watch.watch(() => undefined)).toThrow("clients watch the ports already");
  for (const each of leave) each();
  const before = looks;
  await Bun.sleep(initLimits.portLookMs + 100);
  expect(looks).toBe(before);
  watch.watch((sockets) => told.push(portsOf(sockets)))();
  await Bun.sleep(10);
  expect(looks).toBe(before + 1);
});
