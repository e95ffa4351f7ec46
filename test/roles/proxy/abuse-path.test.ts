import { describe, expect, test } from "bun:test";
import { proxyLimits as limits } from "../../../src/roles/proxy/limits.ts";
import type { Source } from "../../../src/roles/proxy/source.ts";
import { between } from "../../support/seed.ts";
import {
  anybody,
  client,
  keyOf,
  machineId,
  nameOf,
  RelayStage,
  strangersKey,
} from "./relay-stage.ts";

/** What those on the path, floods and hostile machines can do. */

describe("replay by somebody on the path", () => {
  test("a tag passes once, from whatever address, and never after its window", () => {
    const stage = new RelayStage();
    // As long as any can be valid: from a clock that is 90 s ahead.
    const datagram = stage.admission(0, { aheadS: 90 });
    expect(stage.outcome(datagram)).toBe("forward");
    for (let count = 0; count < 180; count++) {
      expect(stage.outcome(datagram, count % 2 === 0 ? client(1) : anybody(stage))).toBe(
        "replayed",
      );
      stage.pass(1000);
    }
    expect(stage.outcome(datagram)).toBe("replayed");
    stage.pass(1000);
    for (let count = 0; count < 20; count++) {
      expect(["clock", "hint: clock"]).toContain(stage.outcome(datagram));
      stage.pass(30_000);
    }
    expect(stage.core.gauges.flows).toBe(0);
  });

  test.each([1, 60, 90, 100, 180, 300, 3600, 86_400])(
    "setting the clock back by %d s lets no old tag in again",
    (backS) => {
      const stage = new RelayStage();
      const taken: Uint8Array[] = [];
      const take = (seconds: number): void => {
        for (let second = 0; second < seconds; second += 10) {
          for (const aheadS of [-90, 0, 90]) {
            const datagram = stage.admission(0, { aheadS });
            if (["forward", "new-flow-rate"].includes(stage.outcome(datagram)))
              taken.push(datagram);
          }
          stage.pass(10_000);
        }
      };
      take(600);
      expect(taken).toHaveLength(180);
      stage.now.wallMs -= backS * 1000;
      const again: string[] = [];
      for (let minute = 0; minute < 30; minute++) {
        for (const datagram of taken) again.push(stage.outcome(datagram));
        stage.pass(60_000);
      }
      const refusals = new Set(again);
      for (const refusal of refusals)
        expect(["replayed", "clock", "hint: clock"]).toContain(refusal);
    },
  );

  test("after a step back of up to 90 s clients with the right time still come in", () => {
    const stage = new RelayStage();
    stage.send(stage.admission());
    stage.now.wallMs -= 90_000;
    expect(stage.outcome(stage.admission())).toBe("forward");
    stage.now.wallMs -= 60_000;
    expect(stage.outcome(stage.admission())).toBe("hint: clock");
    stage.pass(60_000);
    expect(stage.outcome(stage.admission())).toBe("forward");
  });

  test("a step forward takes effect at once", () => {
    const stage = new RelayStage();
    stage.send(stage.admission());
    stage.now.wallMs += 3_600_000;
    expect(stage.outcome(stage.admission())).toBe("forward");
    expect(stage.outcome(stage.admission(0, { aheadS: -3600 }))).toBe("hint: clock");
  });
});

describe("floods", () => {
  test("at one machine's id, 100 000 a second from anywhere: known clients lose nothing, of this machine or others", () => {
    const stage = new RelayStage({ machines: 2 });
    const known = [0, 1].map((machine) => {
      const datagram = stage.bare(machine);
      const flow = stage.confirmed(machine, client(machine));
      stage.send(datagram, client(machine));
      return { flow, datagram };
    });
    flood(stage, { perMs: 100, ms: 1000, from: () => anybody(stage) }, () => {
      for (const { flow, datagram } of known) {
        expect(stage.flow(datagram, flow.source)).toBe(flow);
        expect(stage.answer(flow)).toBeNull();
      }
    });
    // No more of them were looked at than half of a core can do.
    const { drops } = stage.core;
    expect(drops["bad-tag"]).toBeLessThanOrEqual(limits.checksBurst + limits.checksPerSecond);
    expect(drops["bad-tag"] + drops.pressure + drops.penalty).toBe(100_000);
    expect(drops.pressure).toBeGreaterThan(0);
  });

  test("from a few networks: strangers from elsewhere still come in", () => {
    const stage = new RelayStage({ machines: 300 });
    const outcomes: string[] = [];
    const from = () => client(1, between(stage.random, 1, 200));
    flood(stage, { perMs: 200, ms: 1500, from }, (at) => {
      if (at % 10 === 0)
        outcomes.push(stage.outcome(stage.admission(at / 10 + 1), client(2, 1000 + at)));
    });
    expect(stage.core.drops.penalty).toBeGreaterThan(100_000);
    expect(outcomes.filter((outcome) => outcome !== "forward")).toEqual([]);
  });

  test("from anywhere: a client with a flow has its new ids looked at before any stranger's", () => {
    const stage = new RelayStage();
    stage.confirmed(0, client(1));
    const outcomes: string[] = [];
    flood(stage, { perMs: 200, ms: 1000, from: () => anybody(stage) }, (at) => {
      if (at % 20 === 0)
        outcomes.push(stage.outcome(stage.bare()), stage.outcome(stage.admission()));
    });
    expect(stage.core.drops.pressure).toBeGreaterThan(100_000);
    expect(outcomes.filter((outcome) => outcome !== "forward")).toEqual([]);
  });

  test("of ids from anywhere: who comes with a tag does not notice", () => {
    const stage = new RelayStage({ machines: 300 });
    const ids = Array.from({ length: 20 }, () => stage.bare(0, strangersKey(0)));
    const outcomes = admittedDuring(stage, (count) => {
      stage.core.fromClient(ids[count % 20]!, anybody(stage), stage.now);
    });
    expect(stage.core.drops.pressure).toBeGreaterThan(100_000);
    expect(outcomes).toEqual(new Set(["forward"]));
  });

  test.each(["wrong ids", "ever new ids of its own machine", "copies of its admission"])(
    "by one who has a key, and a flow: of %s",
    (what) => {
      const stage = new RelayStage({ machines: 400 });
      const source = client(7, 7);
      stage.confirmed(399, source);
      const copy = stage.admission(399);
      const [wrong, right] = [strangersKey(399), keyOf(399)].map((key) =>
        Array.from({ length: 20 }, () => stage.bare(399, key)),
      );
      const strangers: string[] = [];
      const outcomes = admittedDuring(stage, (count, at) => {
        const ids = what === "wrong ids" ? wrong : right;
        const datagram = what.startsWith("copies") ? copy : ids?.[count % 20];
        stage.core.fromClient(datagram!, source, stage.now);
        if (count === 0 && at % 10 === 0)
          strangers.push(stage.outcome(stage.bare(at / 10), client(3, 5000 + at)));
      });
      expect(stage.core.drops.penalty).toBeGreaterThan(100_000);
      expect(outcomes).toEqual(new Set(["forward"]));
      expect(new Set(strangers)).toEqual(new Set(["forward"]));
    },
  );

  test("a machine's new flows and rates are its own: another's are full", () => {
    const stage = new RelayStage({ machines: 2 });
    for (let count = 0; count < 1000; count++) stage.send(stage.admission(0), anybody(stage));
    expect(stage.core.drops["new-flow-rate"]).toBeGreaterThan(900);
    for (let count = 0; count < 16; count++) stage.confirmed(1, client(count, 500 + count));
  });
});

describe("a hostile machine that floods", () => {
  test("reaches only who came to it, within its rate, and as long as they are heard", () => {
    const stage = new RelayStage({ machines: 2 });
    const flow = stage.confirmed(0, client(1));
    const neighbour = stage.confirmed(1, client(2));
    let bytes = 0;
    for (let count = 0; count < 20_000; count++)
      if (stage.answer(flow, 1200) === null) bytes += 1200;
    expect(bytes).toBeLessThanOrEqual((limits.machineBitsPerSecond / 8) * 0.25);
    expect(stage.answer(neighbour)).toBeNull();
    stage.pass(180_000 + limits.sweepMs);
    expect(stage.answer(flow)).toBe("flows");
    expect(stage.core.gauges.flows).toBe(0);
  });

  test("mints ids for nobody but itself", () => {
    const stage = new RelayStage({ machines: 2 });
    // The mask is the same for all machines of an epoch; the key of the tag is not.
    const thief = { ...keyOf(0), machineId: machineId(1) };
    expect(stage.outcome(stage.bare(1, thief))).toBe("bad-id");
    expect(stage.outcome(stage.admission(1, { key: thief }))).toBe("bad-tag");
  });
});

describe("theft of an id on the path", () => {
  test("a copy from elsewhere opens a flow beside the client's, takes nothing from it, and soon ends", () => {
    const stage = new RelayStage();
    const flow = stage.confirmed(0, client(1));
    const datagram = stage.bare();
    stage.send(datagram);
    const thief = client(66, 66);
    const stolen = stage.flow(datagram, thief);
    expect(stage.flow(datagram)).toBe(flow);
    expect(stage.answer(stolen, 3 * datagram.byteLength + 1)).toBe("amplification");
    expect(stage.answer(flow)).toBeNull();
    stage.pass(limits.unconfirmedFlowMs);
    expect(stage.closed).toEqual([nameOf(stolen)]);
  });

  test("copies from everywhere do not keep the machine's owner from connecting", () => {
    const stage = new RelayStage();
    const copy = stage.bare();
    for (let count = 0; count < 2000; count++) {
      stage.send(copy, anybody(stage));
      stage.pass(50);
    }
    expect(stage.core.gauges.flows).toBeGreaterThan(35);
    for (let count = 0; count < 16; count++) stage.confirmed(0, client(count, count));
    // All 64 at once, and of those with a tag none goes for one without.
    for (let count = 0; count < 16; count++)
      expect(stage.outcome(stage.bare(), client(count, count))).toBe("forward");
  });

  test("who came by an id and then by a tag does not go for one who comes by a tag", () => {
    const stage = new RelayStage();
    const flow = stage.flow(stage.bare(), client(0));
    stage.send(stage.admission(), client(0));
    for (let port = 1; port < limits.unconfirmedFlowsPerNetworkMax; port++) {
      stage.now.monotonicMs += 10;
      stage.flow(stage.bare(), client(port));
    }
    for (let port = 100; port < 110; port++) stage.flow(stage.admission(), client(port));
    expect(stage.closed).toHaveLength(10);
    expect(stage.closed).not.toContain(nameOf(flow));
  });

  test("another machine's id in the client's name does not move it", () => {
    const stage = new RelayStage({ machines: 9 });
    const flow = stage.confirmed(0, client(1));
    for (let machine = 1; machine < 9; machine++) stage.send(stage.bare(machine), client(1));
    expect(stage.flow(stage.bare())).toBe(flow);
    expect(stage.closed).toEqual([]);
  });
});

/** What becomes of new clients of many machines while 200 000 datagrams a second come for 1.5 s. */
function admittedDuring(
  stage: RelayStage,
  sendOne: (count: number, at: number) => void,
): Set<string> {
  const outcomes = new Set<string>();
  for (let at = 0; at < 1500; at++) {
    for (let count = 0; count < 200; count++) sendOne(count, at);
    if (at % 10 === 0)
      outcomes.add(stage.outcome(stage.admission(at / 10 + 150), client(2, 1000 + at)));
    stage.now.monotonicMs += 1;
    stage.now.wallMs += 1;
  }
  return outcomes;
}

/** So many forged ones in each of so many milliseconds, and what else is done in it. */
function flood(
  stage: RelayStage,
  { perMs, ms, from }: { perMs: number; ms: number; from: () => Source },
  meanwhile: (at: number) => void,
): void {
  const datagrams = Array.from({ length: 20 }, () => stage.admission(0, { key: strangersKey(0) }));
  for (let at = 0; at < ms; at++) {
    for (let count = 0; count < perMs; count++)
      stage.core.fromClient(datagrams[count % 20]!, from(), stage.now);
    meanwhile(at);
    stage.now.monotonicMs += 1;
    stage.now.wallMs += 1;
  }
}
