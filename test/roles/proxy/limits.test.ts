import { describe, expect, test } from "bun:test";
import { quicLimits } from "../../../src/quic/limits.ts";
import { proxyLimits as limits } from "../../../src/roles/proxy/limits.ts";
import { client, keyOf, machineId, nameOf, RelayStage } from "./relay-stage.ts";

/** A client of its own network each. */
const apart = (number: number) => client(1, number + 1);

/** Time for buckets of new flows, without any look at what is over. */
function rest(stage: RelayStage, ms = 300): void {
  stage.now.monotonicMs += ms;
  stage.now.wallMs += ms;
}

/** Confirmed flows: each of a network and, 60 a time, of a machine of its own. */
function fill(stage: RelayStage, flows: number): void {
  for (let number = 0; number < flows; number++) {
    stage.confirmed(number % 300, apart(number));
    if (number % 300 === 299) rest(stage);
  }
}

describe("flows", () => {
  test("16 384 in all: of a full table one that was long silent makes room, none in use does", () => {
    const stage = new RelayStage({ machines: 400 });
    const flows = limits.flowsMax;
    fill(stage, flows);
    expect(stage.core.gauges).toMatchObject({ flows, unconfirmed_flows: 0 });
    rest(stage, 2000);
    expect(stage.outcome(stage.admission(350), client(7, 99_999), 350)).toBe("hint: busy");
    expect(stage.core.drops.flows).toBe(1);
    expect(stage.outcome(stage.bare(350), client(7, 99_999))).toBe("flows");
    // All but one go on.
    const silent = stage.flow(stage.bare(5), apart(5));
    stage.pass(limits.idleBeforeEvictionMs - 250);
    for (let number = 0; number < flows; number++) {
      if (number !== 5) stage.send(stage.bare(number % 300), apart(number));
      // No faster than new ids are looked at.
      rest(stage, 0.05);
    }
    stage.pass(1250);
    expect(stage.outcome(stage.admission(350), client(7, 99_999))).toBe("forward");
    expect(stage.closed).toEqual([nameOf(silent)]);
    expect(stage.outcome(stage.bare(351), client(8, 99_998))).toBe("flows");
    expect(stage.core.gauges.flows).toBe(flows);
  });

  test("64 of a machine: another machine's are not touched", () => {
    const stage = new RelayStage({ machines: 2 });
    stage.confirmed(1, apart(999));
    for (let number = 0; number < limits.flowsPerMachineMax; number++) {
      stage.confirmed(0, apart(number));
      rest(stage);
    }
    expect(stage.outcome(stage.admission(0), apart(100))).toBe("hint: busy");
    expect(stage.core.drops["flows-of-machine"]).toBe(1);
    expect(stage.outcome(stage.bare(0), apart(100))).toBe("flows-of-machine");
    // Those are as many as new flows may be: a copied id does not make the relay look for room for ever.
    for (let number = 0; number < 1000; number++) stage.send(stage.bare(0), apart(200 + number));
    expect(stage.core.drops["flows-of-machine"]).toBeLessThan(2 + limits.newFlowsPerMachineBurst);
    expect(stage.outcome(stage.admission(1), apart(100))).toBe("forward");
    expect(stage.closed).toEqual([]);
  });

  test("128 of a network: another network's are not touched", () => {
    const stage = new RelayStage({ machines: 10 });
    for (let number = 0; number < limits.flowsPerNetworkMax; number++)
      stage.confirmed(number % 9, client(number));
    expect(stage.outcome(stage.admission(9), client(2000), 9)).toBe("hint: busy");
    expect(stage.outcome(stage.bare(9), client(2000))).toBe("flows-of-network");
    expect(stage.outcome(stage.admission(9), apart(5))).toBe("forward");
    expect(stage.closed).toEqual([]);
  });

  test("4 of a tuple, to different machines", () => {
    const stage = new RelayStage({ machines: 6 });
    for (let machine = 0; machine < limits.flowsPerTupleMax; machine++)
      stage.confirmed(machine, client(1));
    expect(stage.outcome(stage.bare(5), client(1))).toBe("flows-of-network");
    expect(stage.outcome(stage.bare(5), client(2))).toBe("forward");
    expect(stage.closed).toEqual([]);
  });

  test("2048 unconfirmed in all: the oldest goes once it had its second", () => {
    const stage = new RelayStage({ machines: 200 });
    for (let number = 0; number < limits.unconfirmedFlowsMax; number++) {
      stage.flow(stage.bare(number % 150), apart(number));
      if (number % 150 === 149) rest(stage, 10);
    }
    expect(stage.core.gauges.unconfirmed_flows).toBe(limits.unconfirmedFlowsMax);
    expect(stage.outcome(stage.bare(170), apart(9000))).toBe("unconfirmed-flows");
    rest(stage, limits.unconfirmedGraceMs);
    expect(stage.outcome(stage.bare(170), apart(9000))).toBe("forward");
    expect(stage.outcome(stage.admission(170), apart(9001))).toBe("forward");
    expect(stage.closed).toEqual([
      `${apart(0).key} at ${machineId(0)}`,
      `${apart(1).key} at ${machineId(1)}`,
    ]);
    expect(stage.core.gauges.unconfirmed_flows).toBe(limits.unconfirmedFlowsMax);
  });

  test("16 unconfirmed of a network: the oldest goes once it had its second", () => {
    const stage = new RelayStage({ machines: 3 });
    for (let port = 0; port < limits.unconfirmedFlowsPerNetworkMax; port++)
      stage.flow(stage.admission(port % 2), client(port));
    expect(stage.outcome(stage.admission(2), client(100), 2)).toBe("hint: busy");
    expect(stage.outcome(stage.bare(2), client(100))).toBe("unconfirmed-flows");
    rest(stage, limits.unconfirmedGraceMs);
    expect(stage.outcome(stage.admission(2), client(100))).toBe("forward");
    expect(stage.closed).toEqual([`${client(0).key} at ${machineId(0)}`]);
    // Confirmed ones are not of the 16.
    const confirmed = new RelayStage();
    for (let port = 0; port < 40; port++) {
      confirmed.confirmed(0, client(port));
      rest(confirmed);
    }
  });

  test("unconfirmed ones live 10 s, whatever they send; confirmed ones until they are silent for the session timeout", () => {
    const stage = new RelayStage({ sessionTimeoutMs: 60_000 });
    const unconfirmed = stage.flow(stage.admission(), client(1));
    const confirmed = stage.confirmed(0, client(2));
    const datagram = stage.bare();
    stage.send(datagram, client(1));
    stage.pass(limits.unconfirmedFlowMs - 250);
    expect(stage.flow(datagram, client(1))).toBe(unconfirmed);
    expect(stage.closed).toEqual([]);
    stage.pass(250);
    expect(stage.closed).toEqual([nameOf(unconfirmed)]);
    // What the machine sends does not keep it.
    stage.pass(40_000);
    expect(stage.answer(confirmed)).toBeNull();
    stage.pass(9000);
    expect(stage.closed).toHaveLength(1);
    stage.pass(limits.sweepMs + 500);
    expect(stage.closed).toEqual([nameOf(unconfirmed), nameOf(confirmed)]);
  });

  test("confirmed is who used an id after the machine was heard, and nobody else", () => {
    const stage = new RelayStage();
    const flow = stage.flow(stage.bare());
    stage.send(stage.bare());
    expect(stage.core.gauges.unconfirmed_flows).toBe(1);
    stage.answer(flow, 60);
    stage.send(stage.admission());
    expect(stage.core.gauges.unconfirmed_flows).toBe(1);
    stage.send(stage.bare());
    expect(stage.core.gauges.unconfirmed_flows).toBe(0);
  });

  test("3 times the bytes of an unconfirmed client go to it, and no more", () => {
    const stage = new RelayStage();
    const flow = stage.flow(stage.admission());
    const most = 3 * 1228;
    expect(stage.answer(flow, most + 1)).toBe("amplification");
    expect(stage.answer(flow, most - 100)).toBeNull();
    expect(stage.answer(flow, 101)).toBe("amplification");
    expect(stage.answer(flow, 100)).toBeNull();
    stage.send(stage.admission());
    expect(stage.answer(flow, most)).toBeNull();
    stage.send(stage.bare());
    expect(stage.answer(flow, 65_000, 50)).toBeNull();
  });

  test("new ones of a machine: 16 at once and 4 a second, apart for tags and ids", () => {
    const stage = new RelayStage();
    const opened = (made: () => Uint8Array, from: number) =>
      Array.from({ length: 40 }, (_, at) => stage.outcome(made(), apart(from + at))).filter(
        (outcome) => outcome === "forward",
      ).length;
    const { newFlowsPerMachineBurst, newFlowsPerMachinePerSecond } = limits;
    expect(opened(() => stage.bare(), 0)).toBe(newFlowsPerMachineBurst);
    expect(opened(() => stage.admission(), 100)).toBe(newFlowsPerMachineBurst);
    expect(stage.core.drops["new-flow-rate"]).toBe(24 + 24);
    rest(stage, 1000);
    expect(opened(() => stage.bare(), 200)).toBe(newFlowsPerMachinePerSecond);
    expect(opened(() => stage.admission(), 300)).toBe(newFlowsPerMachinePerSecond);
  });
});

describe("rates of a machine", () => {
  const [to, from] = ["to the machine", "to its clients"] as const;

  const mbit = limits.machineBitsPerSecond / 1e6;
  const perSecond = limits.machineDatagramsPerSecond;

  test.each([to, from])(`${mbit} Mbit/s %s`, (way) => {
    const stage = new RelayStage({ machines: 2 });
    const flow = stage.confirmed(0, client(1));
    const datagram = stage.bare(0, keyOf(0), 12_500);
    stage.send(datagram);
    const passes = (): boolean =>
      way === to ? stage.outcome(datagram) === "forward" : stage.answer(flow, 12_500) === null;
    rest(stage, 10_000);
    let [passed, sent] = [0, 0];
    for (let ms = 0; ms < 2000; ms++) {
      // Twice as many as may, of 0.1 Mbit each.
      for (let count = 0; count < (2 * mbit) / 100; count++, sent++) passed += Number(passes());
      rest(stage, 1);
    }
    expect(passed / 10).toBeGreaterThan(2 * mbit - 10);
    expect(passed / 10).toBeLessThan(2 * mbit + mbit / 4 + 1);
    expect(stage.core.drops["machine-rate"]).toBe(sent - passed);
    const other = stage.confirmed(1, client(2));
    expect(stage.answer(other)).toBeNull();
  });

  test.each([to, from])(`${perSecond} datagrams/s %s`, (way) => {
    const stage = new RelayStage();
    const flow = stage.confirmed(0, client(1));
    const datagram = stage.bare();
    stage.send(datagram);
    rest(stage, 10_000);
    let passed = 0;
    for (let ms = 0; ms < 1000; ms++) {
      for (let count = 0; count < (1.5 * perSecond) / 1000; count++)
        if (way === to) passed += Number(stage.outcome(datagram) === "forward");
        else passed += Number(stage.answer(flow, 60) === null);
      rest(stage, 1);
    }
    expect(passed).toBeGreaterThan(0.999 * perSecond);
    expect(passed).toBeLessThan(1.251 * perSecond);
  });

  test("a slower one as told, through which 64 KiB still pass at once", () => {
    const stage = new RelayStage({ machineBitsPerSecond: 1_000_000 });
    const flow = stage.confirmed(0, client(1));
    expect(stage.answer(flow, 65_000, 54)).toBeNull();
    expect(stage.answer(flow, 65_000, 54)).toBe("machine-rate");
    rest(stage, 1000);
    expect(stage.answer(flow, 65_000, 54)).toBeNull();
  });

  test("two clients of one machine: one floods, the other has what it needs", () => {
    const stage = new RelayStage();
    const [loud, quiet] = [stage.bare(0, keyOf(0), 1200), stage.bare(0, keyOf(0), 1200)];
    stage.send(loud, client(1));
    stage.send(quiet, client(2));
    let [loudPassed, quietPassed] = [0, 0];
    for (let ms = 0; ms < 5000; ms++) {
      // Five times the rate of the one, a quarter of it of the other, always last.
      for (let count = 0; count < (5 * perSecond) / 1000; count++)
        loudPassed += Number(stage.outcome(loud, client(1)) === "forward");
      for (let count = 0; count < perSecond / 4000; count++)
        quietPassed += Number(stage.outcome(quiet, client(2)) === "forward");
      rest(stage, 1);
    }
    expect(quietPassed).toBe((5 * perSecond) / 4);
    // And the first has all that is left, within a burst.
    expect(loudPassed + quietPassed).toBeGreaterThan(0.95 * 5 * perSecond);
  });

  test("a client alone has the whole rate, however many others do nothing", () => {
    const stage = new RelayStage();
    for (let number = 0; number < 50; number++) {
      stage.confirmed(0, apart(number));
      rest(stage);
    }
    const datagram = stage.bare(0, keyOf(0), 1200);
    let passed = 0;
    for (let ms = 0; ms < 5000; ms++) {
      for (let count = 0; count < (2 * perSecond) / 1000; count++)
        passed += Number(stage.outcome(datagram, apart(0)) === "forward");
      rest(stage, 1);
    }
    expect(passed).toBeGreaterThan(0.95 * 5 * perSecond);
  });
});

describe("while machines start", () => {
  test("4 datagrams and 6 KiB of each, 4 MiB of all", () => {
    const stage = new RelayStage({ machines: 0 });
    const hold = (machine: number, bytes = 1200): string =>
      stage.outcome(stage.admission(machine, { bytes }), client(machine % 50));
    for (let machine = 0; machine < 4000; machine++) stage.machine(machine, "starting");
    for (let count = 0; count < limits.heldDatagramsPerMachineMax; count++)
      expect(hold(0)).toBe("held");
    expect(hold(0)).toBe("held-enough");
    expect(hold(1, 4000)).toBe("held");
    expect(hold(1, 2200)).toBe("held-enough");
    expect(hold(1, 2048)).toBe("held");
    expect(hold(2, limits.heldBytesPerMachineMax - 27)).toBe("held-enough");
    const held = Array.from({ length: 900 }, (_, at) => hold(10 + at, 6000));
    expect(held.filter((outcome) => outcome === "held").length).toBeLessThan(700);
    expect(held.at(-1)).toBe("held-enough");
    const { held_bytes } = stage.core.gauges;
    expect(held_bytes).toBeLessThanOrEqual(limits.heldBytesMax);
    expect(held_bytes).toBeGreaterThan(limits.heldBytesMax - 6028);
  });

  test("lookups: 20 at once and 5 a second in all, and who cannot wait is told", () => {
    const stage = new RelayStage({ machines: 0 });
    for (let machine = 0; machine < 100; machine++) stage.send(stage.admission(machine));
    expect(stage.requests).toHaveLength(limits.lookupsBurst);
    expect(stage.outcome(stage.admission(200), client(1), 200)).toBe("hint: busy");
    stage.pass(1000);
    for (let machine = 100; machine < 200; machine++) stage.send(stage.admission(machine));
    expect(stage.requests).toHaveLength(limits.lookupsBurst + limits.lookupsPerSecond);
  });

  test("starts: 50 at once and 20 a second in all, of one machine every 10 s", () => {
    const stage = new RelayStage({ machines: 0 });
    const ask = (from: number, to: number): void => {
      for (let machine = from; machine < to; machine++) {
        stage.machine(machine, "stopped");
        stage.send(stage.admission(machine), apart(machine));
      }
    };
    ask(0, 100);
    expect(stage.requests).toHaveLength(limits.startsBurst);
    stage.pass(1000);
    ask(100, 200);
    expect(stage.requests).toHaveLength(limits.startsBurst + limits.startsPerSecond);
    expect(stage.core.drops["not-started"]).toBe(200 - 70);
    const [first] = stage.requests;
    stage.requests.length = 0;
    stage.pass(limits.startEveryMs - 1250);
    ask(0, 1);
    expect(stage.requests).toEqual([]);
    stage.pass(250);
    ask(0, 1);
    expect(stage.requests).toEqual([first!]);
  });
});

describe("memory", () => {
  test("tags: 512 of a machine, and the oldest of its own goes", () => {
    const stage = new RelayStage({ machines: 2 });
    const datagrams = Array.from({ length: quicLimits.replaysPerMachineMax + 1 }, () =>
      stage.admission(),
    );
    const quiet = stage.admission(1);
    stage.send(quiet, client(2));
    for (const datagram of datagrams) stage.send(datagram);
    expect(stage.core.gauges.replay_tags).toBe(quicLimits.replaysPerMachineMax + 1);
    expect(stage.outcome(datagrams[1]!)).toBe("replayed");
    expect(stage.outcome(quiet, client(2))).toBe("replayed");
    expect(stage.outcome(datagrams[0]!)).toBe("forward");
  });

  test("machines: a longer list is cut, and says so", () => {
    const stage = new RelayStage({ machines: limits.machinesMax + 5 });
    expect(stage.core.gauges).toMatchObject({ machines: limits.machinesMax, machines_cut: 5 });
    // Those that are there are still kept up to date, and one that goes makes room.
    stage.machine(0, "stopped");
    expect(stage.core.gauges.machines_cut).toBe(5);
    stage.learn({ kind: "gone", machineId: machineId(0) });
    stage.machine(limits.machinesMax + 1);
    expect(stage.core.gauges).toMatchObject({ machines: limits.machinesMax, machines_cut: 5 });
  });

  test("keys of machines: so many of a master, the longest unused goes and is made anew", () => {
    const machines = limits.keysPerEpochMax + 1;
    const stage = new RelayStage({ machines });
    for (let machine = 0; machine < machines; machine++) {
      stage.core.fromClient(stage.bare(machine), apart(machine), stage.now);
      stage.now.monotonicMs += 1;
    }
    expect(stage.core.gauges.keys).toBe(limits.keysPerEpochMax);
    for (const machine of [0, 1, machines - 1])
      expect(stage.outcome(stage.bare(machine), client(machine))).toBe("forward");
    expect(stage.core.gauges.keys).toBe(limits.keysPerEpochMax);
  });

  test("machines that are gone: of more than 4096 in a minute the rest is looked up again", () => {
    const stage = new RelayStage({ machines: 0 });
    for (let machine = 0; machine <= limits.goneMachinesMax; machine++)
      stage.learn({ kind: "gone", machineId: machineId(machine) });
    const last = limits.goneMachinesMax;
    expect(stage.outcome(stage.admission(last - 1), client(1), last - 1)).toBe(
      "hint: unknown-machine",
    );
    expect(stage.outcome(stage.admission(last))).toBe("held");
  });
});

test("hints: one a second of a machine, whatever the reasons and whoever asks", () => {
  const stage = new RelayStage({ machines: 2 });
  const outcomes: string[] = [];
  for (let count = 0; count < 100; count++) {
    outcomes.push(stage.outcome(stage.admission(0, { aheadS: 500 }), apart(count)));
    stage.pass(100);
  }
  expect(outcomes.filter((outcome) => outcome === "hint: clock")).toHaveLength(10);
  expect(stage.outcome(stage.admission(1, { aheadS: 500 }), client(1), 1)).toBe("hint: clock");
});
