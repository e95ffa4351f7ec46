import { expect, test } from "bun:test";
import { initLimits } from "../../../src/roles/init/limits.ts";
import { UdpTarget } from "../../../src/roles/init/udp-target.ts";
import { listenUdp, type UdpSocket } from "../../../src/system/udp-socket.ts";
import { freePort } from "../../support/free-port.ts";
import { rejection } from "../../support/rejection.ts";
import { eventually } from "./ask.ts";

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
const bytesOf = (what: string): Uint8Array => new TextEncoder().encode(what);

const until = async (what: () => boolean) => eventually(async () => what(), Boolean);

/** Says back what it hears, with its own host in front. */
class Echo implements Disposable {
  readonly heard: string[] = [];
  readonly socket: UdpSocket;

  /** Below those that the system gives away: nobody else takes it while it is let go. */
  static async at(host: string, port = freePort()): Promise<Echo> {
    let echo: Echo | undefined;
    const socket = await listenUdp({ host, port }, (from, bytes, toPort, toHost) => {
      echo?.heard.push(text(bytes));
      from.send(bytesOf(`${host} ${text(bytes)}`), toPort, toHost);
    });
    echo = new Echo(socket);
    return echo;
  }

  private constructor(socket: UdpSocket) {
    this.socket = socket;
  }

  [Symbol.dispose](): void {
    this.socket.close();
  }
}

async function targetAt(port: number, ...hosts: readonly string[]) {
  const answers: string[] = [];
  const clock = { ms: 0 };
  const received = (bytes: Uint8Array) => void answers.push(text(bytes));
  const target = await UdpTarget.open(hosts, port, received, () => clock.ms);
  return { target, answers, clock, [Symbol.dispose]: () => target.close() };
}

test("what the first address refuses gets to the next, all of a burst, and what follows too", async () => {
  using echo = await Echo.at("127.0.0.1");
  using to = await targetAt(echo.socket.port, "::1", "127.0.0.1");
  for (const each of ["a", "b", "c"]) to.target.send(bytesOf(each));
  await until(() => to.answers.length === 3);
  to.target.send(bytesOf("d"));
  await until(() => to.answers.length === 4);
  expect(to.answers).toEqual(["a", "b", "c", "d"].map((each) => `127.0.0.1 ${each}`));
});

test("an address that takes it is the only one that gets it", async () => {
  using first = await Echo.at("127.0.0.1");
  using second = await Echo.at("127.0.0.2", first.socket.port);
  using to = await targetAt(first.socket.port, "127.0.0.1", "127.0.0.2");
  for (const each of ["a", "b"]) to.target.send(bytesOf(each));
  await until(() => to.answers.length === 2);
  expect(second.heard).toEqual([]);
});

test("an address that answered is stayed with, though it refuses for a while", async () => {
  const gone = await Echo.at("127.0.0.1");
  const { port } = gone.socket;
  using other = await Echo.at("127.0.0.2", port);
  using to = await targetAt(port, "127.0.0.1", "127.0.0.2");
  to.target.send(bytesOf("a"));
  await until(() => to.answers.length === 1);
  gone[Symbol.dispose]();
  to.target.send(bytesOf("b"));
  await Bun.sleep(50);
  using back = await Echo.at("127.0.0.1", port);
  await until(() => {
    to.target.send(bytesOf("c"));
    return to.answers.length > 1;
  });
  expect(to.answers[1]).toBe("127.0.0.1 c");
  expect(back.heard).toContain("c");
  expect(other.heard).toEqual([]);
});

test("where all refuse it is lost, and what comes later gets through", async () => {
  const gone = await Echo.at("127.0.0.1");
  const { port } = gone.socket;
  gone[Symbol.dispose]();
  using to = await targetAt(port, "127.0.0.1", "127.0.0.2");
  to.target.send(bytesOf("lost"));
  // Turns in which both refusals come in, however slow the computer is.
  for (let turn = 0; turn < 20; turn += 1) await Bun.sleep(5);
  using late = await Echo.at("127.0.0.2", port);
  to.target.send(bytesOf("found"));
  await until(() => to.answers.length > 0);
  expect(late.heard).toEqual(["found"]);
});

test("for the next address the newest are kept, no more than there may be, and nothing large", async () => {
  using echo = await Echo.at("127.0.0.1");
  using to = await targetAt(echo.socket.port, "127.0.0.2", "127.0.0.1");
  to.target.send(new Uint8Array(initLimits.udpUnansweredBytesMax + 1));
  for (let each = 0; each < initLimits.udpUnansweredMax + 3; each += 1)
    to.target.send(bytesOf(String(each)));
  await until(() => echo.heard.length >= initLimits.udpUnansweredMax);
  await Bun.sleep(50);
  const newest = Array.from({ length: initLimits.udpUnansweredMax }, (_, n) => `${n + 3}`);
  expect(echo.heard).toEqual(newest);
});

test("what was sent long ago is not sent to the next address", async () => {
  using echo = await Echo.at("127.0.0.1");
  const silent: string[] = [];
  const at = { host: "127.0.0.2", port: echo.socket.port };
  const first = await listenUdp(at, (_from, bytes) => void silent.push(text(bytes)));
  using to = await targetAt(echo.socket.port, "127.0.0.2", "127.0.0.1");
  to.target.send(bytesOf("old"));
  await until(() => silent.length > 0);
  first.close();
  to.clock.ms += initLimits.udpUnansweredMs + 1;
  to.target.send(bytesOf("new"));
  await until(() => echo.heard.includes("new"));
  expect(echo.heard).toEqual(["new"]);
});

test("a name without an address that can be had is refused", async () => {
  const opening = UdpTarget.open([], 1, () => undefined);
  expect(await rejection(opening)).toMatchObject({ code: "EADDRNOTAVAIL" });
});
