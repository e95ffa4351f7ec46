import { afterAll, afterEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ByteStream } from "../../../src/protocol/byte-stream.ts";
import type { Account } from "../../../src/roles/init/account.ts";
import { type AgentOpener, AgentSockets } from "../../../src/roles/init/ssh/agent-sockets.ts";
import { sshLimits } from "../../../src/roles/init/ssh/limits.ts";
import { connectUnix, type Listening, listenUnix } from "../../../src/system/tcp-stream.ts";
import { memoryPair } from "../../support/memory-stream.ts";
import { rejection } from "../../support/rejection.ts";

/** Whom programs in the guest meet at the socket of an agent, with a guest that is played. */

const folder = mkdtempSync(join(tmpdir(), "fv-agents-"));
const root: Account = { name: "root", uid: 0, gid: 0, groups: [0], home: "/", shell: "/bin/sh" };

/** Each round of a workload has a /run of its own. */
class Guest {
  round = 0;
  runs = true;
  readonly #listening: Listening[] = [];

  get path(): string {
    return join(folder, `${this.round}.sock`);
  }

  async listenInRun(
    _account: Account,
    _path: string,
    onConnection: (stream: ByteStream) => void,
  ): Promise<Listening> {
    if (!this.runs) throw new Error("Nothing runs");
    const listening = listenUnix(this.path, { onConnection });
    this.#listening.push(listening);
    return listening;
  }

  end(): void {
    for (const listening of this.#listening.splice(0)) listening.close();
    this.round += 1;
    this.runs = false;
  }
}

const openMs = 200;
const guests: Guest[] = [];
afterEach(() => {
  for (const guest of guests.splice(0)) guest.end();
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("the client that came last is asked, and the one before it when that leaves", async () => {
  const { guest, agents } = start();
  const [one, two] = [saying("one"), saying("two")];
  await agents.offer(root, one);
  await agents.offer(root, two);
  expect(await ask(guest)).toBe("two");
  agents.withdraw(root, two);
  expect(await ask(guest)).toBe("one");
  agents.withdraw(root, one);
  expect(agents.pathFor(root)).toBeUndefined();
  expect(await rejection(connectUnix(guest.path))).toMatchObject({ name: "SocketError" });
});

test("a client that sleeps, or refuses, hands over to the one before it", async () => {
  const { guest, agents } = start();
  await agents.offer(root, saying("one"));
  await agents.offer(root, async () => undefined);
  expect(await ask(guest)).toBe("one");
  const asleep = Promise.withResolvers<ByteStream>();
  await agents.offer(root, () => asleep.promise);
  const startedMs = performance.now();
  expect(await ask(guest)).toBe("one");
  expect(performance.now() - startedMs).toBeGreaterThan(openMs - 100);
  // It wakes up later: nobody waits for it any more, and it is told so.
  const { near, far } = memoryPair();
  asleep.resolve(near);
  expect(await rejection(far.read())).toMatchObject({ kind: "reset" });
});

test("alone it is waited for: a link that is lost comes back", async () => {
  const { guest, agents } = start();
  const later = Promise.withResolvers<ByteStream>();
  await agents.offer(root, () => later.promise);
  const asking = ask(guest);
  await Bun.sleep(openMs + 100);
  void saying("back")().then((stream) => later.resolve(stream as ByteStream));
  expect(await asking).toBe("back");
});

test("the next workload has the socket again", async () => {
  const { guest, agents } = start();
  await agents.offer(root, saying("one"));
  guest.end();
  agents.workloadGone();
  await Bun.sleep(sshLimits.agentAgainMs / 2);
  guest.runs = true;
  for (let look = 0; look < 1000; look++) {
    if ((await ask(guest).catch(() => "")) === "one") return;
    await Bun.sleep(20);
  }
  throw new Error("It never came back");
});

test("one that cannot listen is not offered, and the next one tries again", async () => {
  const { guest, agents } = start();
  guest.runs = false;
  expect(await rejection(agents.offer(root, saying("one")))).toMatchObject({
    message: "Nothing runs",
  });
  expect(agents.size).toBe(0);
  guest.runs = true;
  await agents.offer(root, saying("one"));
  expect(await ask(guest)).toBe("one");
});

function start(): { guest: Guest; agents: AgentSockets } {
  const guest = new Guest();
  guest.round = guests.length + Math.floor(performance.now() * 1000);
  guests.push(guest);
  return { guest, agents: new AgentSockets(guest, openMs) };
}

function saying(text: string): AgentOpener {
  return async () => {
    const { near, far } = memoryPair();
    void far.write(new TextEncoder().encode(text)).then(() => far.end());
    return near;
  };
}

async function ask(guest: Guest): Promise<string> {
  const stream = await connectUnix(guest.path);
  let text = "";
  for (let bytes = await stream.read(); bytes !== null; bytes = await stream.read())
    text += new TextDecoder().decode(bytes);
  await stream.end();
  return text;
}
