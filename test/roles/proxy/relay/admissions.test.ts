import { describe, expect, test } from "bun:test";
import type { AdmissionKey } from "../../../../src/quic/admission-key.ts";
import { quicLimits } from "../../../../src/quic/limits.ts";
import type { BrokerRequest } from "../../../../src/roles/proxy/decision.ts";
import { proxyLimits } from "../../../../src/roles/proxy/limits.ts";
import { openMaster } from "../../../../src/quic/proxy-master.ts";
import { KeyRing } from "../../../../src/roles/proxy/relay/key-ring.ts";
import { client, keyOf, machineId, master, nextMaster, RelayStage } from "../relay-stage.ts";

const lookup = (machine: number): BrokerRequest => ({
  kind: "lookup",
  machineId: machineId(machine),
});
const start = (machine: number): BrokerRequest => ({
  kind: "start",
  machineId: machineId(machine),
});

function sized(stage: RelayStage, bytes: number): string {
  return stage.outcome(stage.admission(0, { bytes }));
}

/** All reasons at once: only the first in the order may show. */
describe("the order of checks", () => {
  test("the length, before anything is computed", () => {
    const stage = new RelayStage({ masters: [] });
    expect(sized(stage, quicLimits.initialDatagramBytesMin - 1)).toBe("no-quic");
    expect(sized(stage, quicLimits.datagramBytesOptionMax + 1)).toBe("no-quic");
    expect(sized(stage, quicLimits.initialDatagramBytesMin)).toBe("unknown-epoch");
    expect(sized(stage, quicLimits.datagramBytesOptionMax)).toBe("unknown-epoch");
  });

  test("the epoch, before the tag", () => {
    const stage = new RelayStage();
    const key = keyOf(0, nextMaster);
    expect(stage.outcome(stage.admission(0, { key }))).toBe("unknown-epoch");
    const far = stage.admission();
    far[1] = 255;
    expect(stage.outcome(far)).toBe("unknown-epoch");
    expect(stage.core.gauges.penalties).toBe(0);
  });

  test("the tag, before the clock: a wrong one gets no hint, and nothing is kept of it", () => {
    const stage = new RelayStage();
    const forged = stage.admission(0, { aheadS: 1000 });
    forged[16] = (forged[16] ?? 0) ^ 1;
    expect(stage.outcome(forged)).toBe("bad-tag");
    expect(stage.core.gauges).toMatchObject({ replay_tags: 0, keys: 0, flows: 0 });
    expect(stage.hints).toEqual([]);
  });

  test("the clock, before the replay: no tag of another time is remembered", () => {
    const stage = new RelayStage();
    for (const aheadS of [-91, 91]) {
      const datagram = stage.admission(0, { aheadS });
      expect(stage.outcome(datagram)).toBe("hint: clock");
      stage.pass(1000);
    }
    expect(stage.core.gauges.replay_tags).toBe(0);
    for (const aheadS of [-90, 90])
      expect(stage.outcome(stage.admission(0, { aheadS }))).toBe("forward");
  });

  test("the replay, before the machine: nothing is asked twice", () => {
    const stage = new RelayStage({ machines: 0 });
    const datagram = stage.admission();
    expect(stage.outcome(datagram)).toBe("held");
    stage.requests.length = 0;
    stage.pass(proxyLimits.lookupEveryMs);
    expect(stage.outcome(datagram)).toBe("replayed");
    expect(stage.requests).toEqual([]);
  });

  test("an admission of something that is no first flight goes nowhere", () => {
    const stage = new RelayStage();
    expect(stage.outcome(stage.admission(0, { first: 0x43 }))).toBe("no-quic");
    expect(stage.core.gauges.flows).toBe(0);
  });

  test("a hint of the clock has the proxy's, and the tag that it answers", () => {
    const stage = new RelayStage();
    const datagram = stage.admission(0, { aheadS: -3600 });
    const decision = stage.send(datagram);
    if (decision.kind !== "hint") throw new Error(decision.kind);
    expect(decision.bytes).toHaveLength(26);
    expect(stage.readHint(decision.bytes)).toEqual({
      state: "clock",
      timeS: stage.now.wallMs / 1000,
      tagStart: datagram.slice(16, 24),
    });
  });
});

describe("a machine that does not run", () => {
  test.each([
    ["stopped", "starting"],
    ["created", "starting"],
    ["suspended", "resuming"],
  ] as const)("%s: it is started, and its client told that it is %s", (state, hint) => {
    const stage = new RelayStage({ machines: 0 });
    stage.machine(0, state);
    const datagram = stage.admission();
    expect(stage.outcome(datagram)).toBe("held");
    expect(stage.requests).toEqual([start(0)]);
    expect(stage.hints.map(({ bytes }) => stage.readHint(bytes).state)).toEqual([hint]);
    // The client tries again, and again: one start, one hint a second.
    for (let tries = 0; tries < 3; tries++) {
      stage.pass(500);
      expect(stage.outcome(stage.admission())).toBe("held");
    }
    expect(stage.requests).toEqual([start(0)]);
    expect(stage.hints).toHaveLength(2);
    stage.learn({ kind: "start", machineId: machineId(0), outcome: "starting", retryS: 0 });
    stage.machine(0, "starting");
    stage.machine(0);
    expect(stage.released).toHaveLength(4);
    expect(stage.released[0]?.datagram).toEqual(datagram);
    expect(new Set(stage.released.map(({ flow }) => flow)).size).toBe(1);
    expect(stage.flow(stage.admission())).toBe(stage.released[0]!.flow);
    expect(stage.core.gauges.held_bytes).toBe(0);
  });

  test.each(["starting", "stopping", "suspending", "replacing", "other"] as const)(
    "%s will pass: it is looked up, and nothing is started",
    (state) => {
      const stage = new RelayStage({ machines: 0 });
      stage.machine(0, state);
      expect(stage.outcome(stage.admission())).toBe("held");
      expect(stage.requests).toEqual([lookup(0)]);
      expect(stage.hints).toHaveLength(1);
      // The look finds it stopped: the client need not ask again.
      stage.machine(0, "stopped");
      expect(stage.requests).toEqual([lookup(0), start(0)]);
      stage.machine(0);
      expect(stage.released).toHaveLength(1);
    },
  );

  test("started, but without an address: it is looked up", () => {
    const stage = new RelayStage({ machines: 0 });
    stage.learn({ kind: "machine", machineId: machineId(0), state: "started", address: undefined });
    expect(stage.outcome(stage.bare())).toBe("not-started");
    expect(stage.outcome(stage.admission())).toBe("held");
    expect(stage.requests).toEqual([lookup(0)]);
  });

  test("failed for good: its clients are told, and nothing is held or started", () => {
    const stage = new RelayStage({ machines: 0 });
    stage.machine(0, "failed");
    expect(stage.outcome(stage.admission())).toBe("hint: failed");
    expect(stage.requests).toEqual([lookup(0)]);
    expect(stage.core.gauges.held_bytes).toBe(0);
  });

  test.each(["failed", "resting", "busy"] as const)(
    "a start that %s: what waited is dropped and told, and none is tried before its time",
    (outcome) => {
      const stage = new RelayStage({ machines: 0 });
      stage.machine(0, "stopped");
      stage.send(stage.admission(), client(1));
      stage.send(stage.admission(), client(2));
      stage.pass(2000);
      stage.hints.length = 0;
      stage.learn({ kind: "start", machineId: machineId(0), outcome, retryS: 30 });
      expect(stage.hints.map(({ source }) => source)).toEqual([client(2)]);
      expect(stage.hints.map(({ bytes }) => stage.readHint(bytes).state)).toEqual([outcome]);
      expect(stage.core.gauges.held_bytes).toBe(0);
      expect(stage.core.drops["not-started"]).toBe(2);
      stage.pass(29_000);
      expect(stage.outcome(stage.admission())).toBe(`hint: ${outcome}`);
      expect(stage.requests).toEqual([start(0)]);
      stage.pass(1000);
      expect(stage.outcome(stage.admission())).toBe("held");
      expect(stage.requests).toEqual([start(0), start(0)]);
    },
  );

  test("a start under way: an earlier failure is forgotten", () => {
    const stage = new RelayStage({ machines: 0 });
    stage.machine(0, "stopped");
    stage.learn({ kind: "start", machineId: machineId(0), outcome: "failed", retryS: 600 });
    expect(stage.outcome(stage.admission())).toBe("hint: failed");
    stage.learn({ kind: "start", machineId: machineId(0), outcome: "starting", retryS: 0 });
    expect(stage.outcome(stage.admission())).toBe("held");
  });

  test("somebody else started it: an earlier failure is forgotten", () => {
    const stage = new RelayStage({ machines: 0 });
    stage.machine(0, "stopped");
    stage.learn({ kind: "start", machineId: machineId(0), outcome: "resting", retryS: 9999 });
    stage.machine(0);
    expect(stage.outcome(stage.admission())).toBe("forward");
    stage.machine(0, "stopped");
    expect(stage.outcome(stage.admission())).toBe("held");
  });

  test("the directory may be old: who repeats an admission without an answer has the machine looked up, and started at once", () => {
    const stage = new RelayStage();
    const flow = stage.flow(stage.admission());
    stage.pass(250);
    stage.send(stage.admission());
    expect(stage.requests).toEqual([]);
    stage.pass(250);
    const datagram = stage.admission();
    expect(stage.flow(datagram)).toBe(flow);
    expect(stage.requests).toEqual([lookup(0)]);
    stage.machine(0, "stopped");
    expect(stage.requests).toEqual([lookup(0), start(0)]);
    expect(stage.hints.map(({ bytes }) => stage.readHint(bytes).state)).toEqual(["starting"]);
    expect(stage.outcome(stage.admission())).toBe("held");
    stage.machine(0);
    expect(stage.released.map((each) => each.flow)).toEqual([flow, flow]);
    expect(stage.released[0]?.datagram).toEqual(datagram);
    // And one with an answer is not looked up.
    stage.answer(flow);
    stage.pass(2000);
    stage.send(stage.admission());
    expect(stage.requests).toHaveLength(2);
  });

  test("what waits 20 s is dropped, and room for others again", () => {
    const stage = new RelayStage({ machines: 0 });
    stage.machine(0, "stopped");
    stage.send(stage.admission());
    stage.pass(10_000);
    const buffer = stage.admission();
    const later = buffer.slice();
    stage.send(buffer);
    // The socket's memory is used again.
    buffer.fill(0);
    stage.pass(proxyLimits.heldMs - 10_000);
    expect(stage.core.gauges.held_bytes).toBe(later.byteLength);
    expect(stage.core.drops["not-started"]).toBe(1);
    stage.machine(0);
    expect(stage.released.map(({ datagram }) => datagram)).toEqual([later]);
  });

  test("what was released and had to go in the same turn opens no socket", () => {
    const stage = new RelayStage({ machines: 0 });
    stage.machine(0, "stopped");
    stage.send(stage.admission());
    stage.core.learn(
      { kind: "machine", machineId: machineId(0), state: "started", address: "fdaa::1" },
      stage.now,
    );
    stage.core.learn({ kind: "gone", machineId: machineId(0) }, stage.now);
    stage.collect();
    expect(stage.released).toEqual([]);
  });
});

describe("a machine that nobody knows", () => {
  test("is looked up once, while its client waits, and found", () => {
    const stage = new RelayStage({ machines: 0 });
    for (let count = 0; count < 3; count++) expect(stage.outcome(stage.admission())).toBe("held");
    expect(stage.requests).toEqual([lookup(0)]);
    expect(stage.hints).toEqual([]);
    stage.machine(0);
    expect(stage.released).toHaveLength(3);
  });

  test("is looked up and gone: who has its key is told, and it is not looked up for a minute", () => {
    const stage = new RelayStage({ machines: 0 });
    stage.send(stage.admission());
    stage.learn({ kind: "gone", machineId: machineId(0) });
    const [{ bytes } = { bytes: new Uint8Array(0) }] = stage.hints;
    expect(stage.readHint(bytes).state).toBe("unknown-machine");
    expect(stage.core.gauges.held_bytes).toBe(0);
    stage.pass(proxyLimits.goneMs - 250);
    expect(stage.outcome(stage.admission())).toBe("hint: unknown-machine");
    expect(stage.requests).toEqual([lookup(0)]);
    stage.pass(250);
    expect(stage.outcome(stage.admission())).toBe("held");
    expect(stage.requests).toEqual([lookup(0), lookup(0)]);
  });

  test("whose answer never came is looked up again", () => {
    const stage = new RelayStage({ machines: 0 });
    stage.send(stage.admission());
    stage.pass(proxyLimits.lookupEveryMs);
    stage.send(stage.admission());
    expect(stage.requests).toEqual([lookup(0), lookup(0)]);
  });
});

function openKey(machine: number): AdmissionKey {
  return keyOf(machine, openMaster);
}

function openAdmission(stage: RelayStage, machine = 0): Uint8Array {
  return stage.admission(machine, { key: openKey(machine) });
}

describe("open", () => {
  const options = { open: true } as const;
  test("a key that everybody can make is as good as any", () => {
    const stage = new RelayStage({ ...options, masters: [] });
    const flow = stage.flow(openAdmission(stage));
    expect(stage.flow(stage.bare(0, openKey(0)))).toBe(flow);
  });

  test("without it such a key is worth nothing, and no master may be that one", () => {
    const stage = new RelayStage();
    expect(stage.outcome(openAdmission(stage))).toBe("unknown-epoch");
    expect(stage.outcome(stage.bare(0, openKey(0)))).toBe("unknown-epoch");
    for (const isOpen of [true, false])
      expect(() => new KeyRing([{ epoch: 1, master: new Uint8Array(32) }], isOpen)).toThrow(
        RangeError,
      );
  });

  test("a master of its own may not be of the epoch that is open", () => {
    const own = { ...master, epoch: openMaster.epoch };
    expect(() => new RelayStage({ ...options, masters: [own] })).toThrow("epoch 7");
    expect(() => new RelayStage({ masters: [own] })).not.toThrow();
    expect(() => new RelayStage({ masters: [master, master] })).toThrow("epoch 1");
  });

  test("new flows of one network: 8 at once, then one a second; others and holders of keys as ever", () => {
    const stage = new RelayStage({ ...options, machines: 20 });
    const outcomes = Array.from({ length: 12 }, (_, at) =>
      stage.outcome(openAdmission(stage, at), client(at), at),
    );
    expect(outcomes.filter((one) => one === "forward")).toHaveLength(8);
    expect(stage.core.drops["new-flow-rate"]).toBe(4);
    expect(stage.outcome(openAdmission(stage, 13), client(1, 99))).toBe("forward");
    expect(stage.outcome(stage.admission(14), client(200))).toBe("forward");
    expect(stage.outcome(stage.bare(15, openKey(15)), client(201))).toBe("new-flow-rate");
    stage.pass(1000);
    expect(stage.outcome(stage.bare(15, openKey(15)), client(201))).toBe("forward");
  });

  test("starts of one network: one a minute", () => {
    const stage = new RelayStage({ ...options, machines: 0 });
    for (let machine = 0; machine < 3; machine++) stage.machine(machine, "stopped");
    expect(stage.outcome(openAdmission(stage, 0))).toBe("held");
    expect(stage.outcome(openAdmission(stage, 1), client(1), 1)).toBe("hint: busy");
    // The same start is no second one.
    expect(stage.outcome(openAdmission(stage, 0))).toBe("held");
    expect(stage.requests).toEqual([start(0)]);
    expect(stage.outcome(openAdmission(stage, 1), client(1, 99))).toBe("held");
    expect(stage.outcome(stage.admission(2))).toBe("held");
    stage.pass(60_000);
    expect(stage.outcome(openAdmission(stage, 1))).toBe("held");
    expect(stage.requests).toEqual([start(0), start(1), start(2), start(1)]);
  });

  test("no more networks are remembered than there is room for", () => {
    const stage = new RelayStage({ ...options, masters: [] });
    // Of another machine each, lest the machine's own limit comes first.
    for (let network = 0; network < proxyLimits.openNetworksMax + 100; network++) {
      stage.machine(network % 5000);
      const datagram = stage.bare(network % 5000, openKey(network % 5000));
      stage.core.fromClient(datagram, client(1, network), stage.now);
      stage.now.monotonicMs += 20;
    }
    expect(stage.core.gauges.open_networks).toBe(proxyLimits.openNetworksMax);
  });
});
