import { expect, test } from "bun:test";
import type { CloseReason, Connection } from "../../../../src/quic/connection.ts";
import { Link, type OpenedConnection } from "../../../../src/roles/client/link/link.ts";
import { NetworkChanged, PathNotices } from "../../../../src/roles/client/dial/path-notices.ts";

/** A link over connections that are only played; each notes what becomes of it. */

class Played {
  readonly notices = new PathNotices();
  rebinds = 0;
  readonly #closed = Promise.withResolvers<CloseReason>();
  readonly closedWith: number[] = [];
  readonly #rebind: () => Promise<void>;

  constructor(rebind: () => Promise<void> = () => Promise.resolve()) {
    this.#rebind = rebind;
  }

  get opened(): OpenedConnection {
    const connection = {
      closed: this.#closed.promise,
      close: (code: number) => this.closedWith.push(code),
      stats: () => ({ sentPackets: 1, receivedPackets: 1 }),
    };
    return {
      connection: connection as unknown as Connection,
      endpoint: {
        rebind: async () => {
          this.rebinds += 1;
          await this.#rebind();
        },
        close: () => Promise.resolve(),
      },
      login: {} as OpenedConnection["login"],
      notices: this.notices,
    };
  }
}

const elsewhere = (): Promise<void> => Promise.reject(new NetworkChanged("moved"));

async function linkOver(all: readonly Played[], wallMs = () => 0): Promise<Link> {
  const left = [...all];
  return Link.open({
    vault: "dev",
    clock: { monotonicMs: () => performance.now(), wallMs },
    open: () => Promise.resolve(left.shift()!.opened),
  });
}

test("after a sleep in another network a link over TCP is dialled anew at once", async () => {
  const [first, second] = [new Played(elsewhere), new Played()];
  let wallMs = 0;
  const link = await linkOver([first, second], () => wallMs);
  const connection = await link.connection();
  wallMs = 600_000;
  while (link.isCurrent(connection)) await Bun.sleep(10);
  await link.connection();
  expect([first.rebinds, first.closedWith, second.closedWith]).toEqual([1, [0], []]);
  await link.close();
});

test("a sleep is noticed at once when somebody looks closer again", async () => {
  const [first, second] = [new Played(elsewhere), new Played()];
  let wallMs = 0;
  const link = await linkOver([first, second], () => wallMs);
  link.lookEvery(1e6);
  wallMs = 600_000;
  link.lookEvery(1e6);
  expect(first.rebinds).toBe(1);
  await link.close();
});

test("a proxy that goes before anybody listens is not missed, and one that is gone moves nothing", async () => {
  const [first, second] = [new Played(elsewhere), new Played()];
  first.notices.tell("draining");
  const link = await linkOver([first, second]);
  await link.connection();
  expect(first.rebinds).toBe(1);
  first.notices.tell("cut");
  await link.connection();
  expect([first.rebinds, second.rebinds]).toEqual([1, 0]);
  await link.close();
  second.notices.tell("cut");
  expect(second.rebinds).toBe(0);
});
