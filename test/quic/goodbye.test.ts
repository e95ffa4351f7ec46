import { expect, test } from "bun:test";
import type { OpenCarrier } from "../../src/quic/carrier.ts";
import { quicLimits } from "../../src/quic/limits.ts";
import { openUdp } from "../../src/quic/udp-carrier.ts";
import { within } from "../../src/system/within.ts";
import { openPair, type Pair } from "./pair.ts";

/** A client's way out that can be closed off. */
class Way {
  isFull = false;
  /** Batches from now on that are lost. */
  losses = 0;
  sent = 0;

  readonly open: OpenCarrier = async (bind, receive) => {
    const udp = await openUdp(bind, receive);
    return {
      address: udp.address,
      send: (batch) => {
        if (this.isFull) return false;
        this.sent += 1;
        if (this.losses === 0) return udp.send(batch);
        this.losses -= 1;
        return true;
      },
      close: () => udp.close(),
    };
  };
}

async function uploaded(way: Way, bytes: number): Promise<Pair> {
  const pair = await openPair({ client: { openCarrier: way.open } });
  const stream = await pair.near.openStream();
  const writing = stream.write(new Uint8Array(bytes));
  const far = await pair.far.acceptStream();
  for (let left = bytes; left > 0;) left -= (await far?.read())?.byteLength ?? left;
  await writing;
  return pair;
}

const much = quicLimits.goodbyeRepeatSentBytes;
const told = { kind: "peer-application", code: 7, reason: "enough" } as const;

test("after much was sent, a peer that missed all goodbyes but the last knows of the close", async () => {
  const way = new Way();
  await using pair = await uploaded(way, much);
  way.losses = quicLimits.goodbyeRepeats;
  await pair.client.close({ code: 7, reason: "enough" });
  expect(await within(pair.far.closed, 20_000)).toEqual(told);
});

test("a goodbye waits for room in the socket", async () => {
  const way = new Way();
  await using pair = await uploaded(way, much);
  way.isFull = true;
  const stream = await pair.near.openStream();
  await stream.write(new Uint8Array(1000));
  await Bun.sleep(quicLimits.socketRetryMs);
  const closing = pair.client.close({ code: 7, reason: "enough" });
  await Bun.sleep(5 * quicLimits.socketRetryMs);
  way.isFull = false;
  await closing;
  expect(await within(pair.far.closed, 20_000)).toEqual(told);
});

test("after little was sent once is enough, and nobody waits for more", async () => {
  const way = new Way();
  await using pair = await uploaded(way, 1000);
  way.sent = 0;
  await pair.client.close({ code: 7, reason: "enough" });
  expect(await within(pair.far.closed, 20_000)).toEqual(told);
  expect(way.sent).toBe(1);
});
