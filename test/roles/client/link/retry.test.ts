import { afterEach, beforeEach, expect, jest, test } from "bun:test";
import { Failure } from "../../../../src/cli/failure.ts";
import type { CloseReason, Connection } from "../../../../src/quic/connection.ts";
import type { AttestedLink, LinkState } from "../../../../src/roles/client/link/attested-link.ts";
import { backoffMs } from "../../../../src/roles/client/dial/backoff.ts";
import { Console } from "../../../../src/roles/client/session/console.ts";
import { EscapeKeys } from "../../../../src/roles/client/session/escape-keys.ts";
import { Keyboard } from "../../../../src/roles/client/session/keyboard.ts";
import { Link, type OpenedConnection } from "../../../../src/roles/client/link/link.ts";
import { PathNotices } from "../../../../src/roles/client/dial/path-notices.ts";
import { memoryContext } from "../../../support/memory-context.ts";

/** Minutes without a network, in virtual time. */

const clock = { nowMs: 0, setByMs: 0 };
const monotonicMs = (): number => clock.nowMs;
const wallMs = (): number => clock.nowMs + clock.setByMs;

beforeEach(() => {
  jest.useFakeTimers();
  clock.nowMs = 0;
  clock.setByMs = 0;
});
afterEach(() => {
  jest.useRealTimers();
});

async function pass(durationMs: number): Promise<void> {
  for (const endMs = clock.nowMs + durationMs; clock.nowMs < endMs; clock.nowMs += stepMs) {
    jest.advanceTimersByTime(stepMs);
    for (let turn = 0; turn < 20; turn++) await Promise.resolve();
  }
}
const stepMs = 10;

class Network {
  isUp = true;
  /** When the client dialled. */
  readonly dials: number[] = [];
  readonly states: LinkState[] = [];
  #lose: (() => void) | undefined;

  async link(reconnectMs?: number): Promise<Link> {
    return Link.open({
      vault: "dev",
      clock: { monotonicMs, wallMs },
      reconnectMs,
      onState: (state) => this.states.push(state),
      open: async () => {
        this.dials.push(clock.nowMs);
        if (!this.isUp) throw new Failure("FV-NET-002", "no answer");
        return this.#opened();
      },
    });
  }

  goDown(): void {
    this.isUp = false;
    this.dials.length = 0;
    this.#lose?.();
  }

  #opened(): OpenedConnection {
    const closed = Promise.withResolvers<CloseReason>();
    this.#lose = () => closed.resolve({ kind: "idle" });
    const connection = {
      closed: closed.promise,
      close: () => undefined,
      stats: () => ({ sentPackets: 1, receivedPackets: 1 }),
    };
    return {
      connection: connection as unknown as Connection,
      endpoint: { rebind: () => Promise.resolve(), close: () => Promise.resolve() },
      login: {} as OpenedConnection["login"],
      notices: new PathNotices(),
    };
  }
}

test("the waits: none, then a quarter of a second, doubled up to five, less up to a quarter of each", () => {
  const longest = [0, 250, 500, 1000, 2000, 4000, 5000, 5000];
  expect(longest.map((_, attempt) => backoffMs(attempt, 1))).toEqual(longest);
  expect(longest.map((_, attempt) => backoffMs(attempt, 0))).toEqual(
    longest.map((ms) => ms * 0.75),
  );
  expect(backoffMs(10_000, 1)).toBe(5000);
});

test("eight minutes without a network: tried by that schedule to the end, and back within one wait", async () => {
  const network = new Network();
  const link = await network.link();
  network.goDown();
  await pass(8 * 60_000);
  const [first, ...later] = network.dials;
  expect(first).toBeLessThanOrEqual(stepMs);
  for (const [index, atMs] of later.entries()) {
    const waitedMs = atMs - (network.dials[index] ?? 0);
    expect(waitedMs).toBeGreaterThanOrEqual(backoffMs(index + 1, 0) - stepMs);
    expect(waitedMs).toBeLessThanOrEqual(backoffMs(index + 1, 1) + 2 * stepMs);
  }
  expect(network.dials.length).toBeGreaterThan(96);
  network.isUp = true;
  const backMs = clock.nowMs;
  await pass(5100);
  expect(network.states.at(-1)).toEqual({ kind: "up" });
  expect((network.dials.at(-1) ?? 0) - backMs).toBeLessThanOrEqual(5000);
  await link.close();
});

test("a clock that jumped, and ~r, try at once", async () => {
  const network = new Network();
  const link = await network.link();
  network.goDown();
  await pass(60_000);
  // Right after one try the next is seconds away.
  let before = network.dials.length;
  while (network.dials.length === before) await pass(stepMs);
  before = network.dials.length;
  clock.setByMs = 600_000;
  await pass(520);
  expect(network.dials.length).toBe(before + 1);
  await pass(100);
  before = network.dials.length;
  link.retryNow();
  await pass(20);
  expect(network.dials.length).toBe(before + 1);
  await link.close();
});

test("with --reconnect it is given up when the time is over", async () => {
  const network = new Network();
  const link = await network.link(120_000);
  network.goDown();
  await pass(20);
  const lost = link.connection().catch((error: unknown) => error);
  await pass(119_000);
  expect(network.states.at(-1)?.kind).toBe("down");
  await pass(8000);
  expect(await lost).toMatchObject({ code: "FV-NET-003" });
  const before = network.dials.length;
  await pass(60_000);
  expect(network.dials.length).toBe(before);
  await link.close();
});

test("the status line counts up, names the try and the key, and is gone when the link is back", () => {
  const context = { ...memoryContext({ tty: true }), monotonicMs };
  const keyboard = new Keyboard(context.stdin, new EscapeKeys());
  const plan = { client: "c", first: [] };
  const shown = new Console(context, {} as AttestedLink, plan, { keyboard });
  shown.linkState({ kind: "down", sinceMs: 0, attempt: 0 });
  clock.nowMs = 14_000;
  shown.linkState({ kind: "down", sinceMs: 0, attempt: 2 });
  expect(context.out()).toEndWith(
    "\u001b7\u001b[24;1H\u001b[0;2m── link down 00:14 · retrying (3) · ~. leaves, session stays ──\u001b[0m\u001b[K\u001b8",
  );
  clock.nowMs = 482_000;
  jest.advanceTimersByTime(1000);
  expect(context.out()).toContain("── link down 08:02 · retrying (3)");
  shown.linkState({ kind: "up" });
  expect(context.out()).toEndWith("\u001b7\u001b[24;1H\u001b[2K\u001b8");
  const length = context.out().length;
  jest.advanceTimersByTime(5000);
  expect(context.out().length).toBe(length);
});
