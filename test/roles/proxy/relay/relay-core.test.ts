import { describe, expect, test } from "bun:test";
import { allocatedBytes } from "../../../support/allocation.ts";
import { seed } from "../../../support/seed.ts";
import {
  client,
  keyOf,
  machineId,
  nextMaster,
  master,
  nameOf,
  RelayStage,
} from "../relay-stage.ts";

describe("which way a datagram goes", () => {
  test("an admission opens a flow to its machine, with the header", () => {
    const stage = new RelayStage({ machines: 2 });
    const flow = stage.flow(stage.admission(1));
    expect(flow).toMatchObject({ machineId: machineId(1), address: "fdaa::2", descriptor: -1 });
    expect(stage.flow(stage.admission(1))).toBe(flow);
    expect(stage.core.gauges).toMatchObject({ flows: 1, unconfirmed_flows: 1 });
  });

  test("short and long headers go by the id of the machine", () => {
    const stage = new RelayStage({ machines: 2 });
    expect(stage.flow(stage.bare(0), client(1)).machineId).toBe(machineId(0));
    expect(stage.flow(stage.bareLong(1), client(2)).machineId).toBe(machineId(1));
  });

  test("a known id on a known tuple is not checked again, a changed one is", () => {
    const stage = new RelayStage();
    const first = stage.bare();
    const flow = stage.flow(first);
    // The tag of a stored id is not looked at; one bit elsewhere is another id.
    expect(stage.flow(first)).toBe(flow);
    const forged = first.slice();
    forged[15] = (forged[15] ?? 0) ^ 1;
    expect(stage.outcome(forged)).toBe("bad-id");
    expect(stage.flow(stage.bare())).toBe(flow);
  });

  test("messages beside QUIC pass by the same id", () => {
    const stage = new RelayStage();
    const flow = stage.flow(stage.bare());
    expect(stage.flow(stage.bare(0, keyOf(0), 45))).toBe(flow);
    expect(stage.outcome(stage.bare(0, keyOf(0), 21).subarray(0, 21))).toBe("no-quic");
  });

  test("both masters are good while they change", () => {
    const stage = new RelayStage({ masters: [nextMaster, master] });
    for (const [at, each] of [master, nextMaster].entries()) {
      const key = keyOf(0, each);
      expect(stage.outcome(stage.admission(0, { key }), client(2 * at))).toBe("forward");
      expect(stage.outcome(stage.bare(0, key), client(2 * at + 1))).toBe("forward");
    }
  });

  test("what is neither is dropped", () => {
    const stage = new RelayStage();
    for (const first of [0x00, 0x0a, 0x0c, 0x3f, 0x80, 0xbf])
      expect(stage.outcome(Uint8Array.of(first, ...new Uint8Array(1300)))).toBe("no-quic");
    expect(stage.outcome(new Uint8Array(0))).toBe("no-quic");
    expect(stage.outcome(Uint8Array.of(0x0b))).toBe("no-quic");
    expect(stage.outcome(Uint8Array.of(0xc3))).toBe("no-quic");
  });

  test("a first flight without the header is dropped", () => {
    const stage = new RelayStage();
    const flight = new Uint8Array(1200);
    flight.set([0xc3, 0, 0, 0, 1, 16]);
    expect(stage.outcome(flight)).toBe("untagged");
  });

  test("a datagram of a known client allocates nothing", () => {
    const stage = new RelayStage();
    const datagram = stage.bare();
    const source = client(1);
    stage.send(datagram, source);
    const spent = allocatedBytes(() => {
      for (let count = 0; count < 1000; count++) {
        stage.now.monotonicMs += 1;
        stage.core.fromClient(datagram, source, stage.now);
      }
    });
    expect(spent).toBe(0);
  });
});

describe("a tuple whose id changes", () => {
  test("to another machine: it gets a second flow, and the first stays as it was", () => {
    const stage = new RelayStage({ machines: 2 });
    const [toFirst, toSecond] = [stage.bare(0), stage.bare(1)];
    const first = stage.confirmed(0, client(1));
    const second = stage.flow(toSecond);
    expect(second.machineId).toBe(machineId(1));
    // In turns, and nothing is closed: whoever forges the address cannot move the client.
    for (let turn = 0; turn < 3; turn++) {
      expect(stage.flow(toFirst)).toBe(first);
      expect(stage.flow(toSecond)).toBe(second);
    }
    expect(stage.closed).toEqual([]);
    stage.pass(10_000);
    expect(stage.closed).toEqual([nameOf(second)]);
    expect(stage.flow(toFirst)).toBe(first);
  });

  test("behind one NAT address another client gets the port: each datagram goes by its id", () => {
    const stage = new RelayStage({ machines: 2 });
    stage.confirmed(0, client(7));
    expect(stage.flow(stage.admission(1), client(7)).machineId).toBe(machineId(1));
    expect(stage.flow(stage.bare(1), client(7)).machineId).toBe(machineId(1));
  });
});

describe("roaming and restarts", () => {
  test("a client with a new address is found by its id, as a new flow of the same machine", () => {
    const stage = new RelayStage();
    const before = stage.confirmed(0, client(1));
    const after = stage.flow(stage.bare(), client(2, 0x0a000002));
    expect(after).not.toBe(before);
    expect(after.machineId).toBe(before.machineId);
    // A copy of a datagram from elsewhere takes nothing away from the client.
    expect(stage.answer(before)).toBeNull();
  });

  test("a restarted proxy takes over with the first datagram", () => {
    const before = new RelayStage({ machines: 3 });
    const datagram = before.bare(2);
    before.confirmed(2, client(9));
    const after = new RelayStage({ machines: 3 });
    const flow = after.flow(datagram, client(9));
    expect(flow.machineId).toBe(machineId(2));
    expect(after.answer(flow, 180)).toBeNull();
    expect(after.flow(datagram, client(9))).toBe(flow);
    expect(after.core.gauges.unconfirmed_flows).toBe(0);
  });

  test("a second proxy carries half of a connection's datagrams", () => {
    const one = new RelayStage();
    const other = new RelayStage();
    const datagrams = Array.from({ length: 20 }, () => one.bare());
    for (const [at, datagram] of datagrams.entries())
      expect((at % 2 === 0 ? one : other).flow(datagram).machineId).toBe(machineId(0));
    expect([one.core.gauges.flows, other.core.gauges.flows]).toEqual([1, 1]);
  });

  test("until its list came, a proxy drops bare datagrams of machines it does not know, and punishes nobody", () => {
    const stage = new RelayStage({ machines: 0, synced: false });
    const datagram = stage.bare();
    for (let count = 0; count < 100; count++)
      expect(stage.outcome(datagram)).toBe("unknown-machine");
    expect(stage.core.gauges.penalties).toBe(0);
    // The record itself is enough; the rest of the list may follow.
    stage.machine(0);
    expect(stage.outcome(datagram)).toBe("forward");
    stage.learn({ kind: "synced" });
    expect(stage.outcome(stage.bare(77))).toBe("bad-id");
    expect(stage.core.gauges.penalties).toBe(1);
    expect(stage.requests).toEqual([]);
  });

  test("until its list came, admissions wait for it; then what is not on it is looked up", () => {
    const stage = new RelayStage({ machines: 0, synced: false });
    const held = [stage.admission(0), stage.admission(1)];
    for (const [port, datagram] of held.entries())
      expect(stage.outcome(datagram, client(port))).toBe("held");
    expect(stage.requests).toEqual([]);
    stage.machine(0);
    expect(stage.released).toMatchObject([
      { flow: { machineId: machineId(0) }, datagram: held[0] },
    ]);
    stage.learn({ kind: "synced" });
    expect(stage.requests).toEqual([{ kind: "lookup", machineId: machineId(1) }]);
  });

  test("a machine with a new address gets its clients there, confirmed as they were", () => {
    const stage = new RelayStage();
    const flow = stage.confirmed(0, client(1));
    const datagram = stage.bare();
    stage.send(datagram);
    stage.machine(0, "started", "fdaa::ffff");
    expect(stage.closed).toEqual([nameOf(flow)]);
    expect(stage.core.gauges).toMatchObject({ flows: 1, unconfirmed_flows: 0 });
    const moved = stage.flow(datagram);
    expect(moved).toMatchObject({ address: "fdaa::ffff", descriptor: -1, source: flow.source });
    expect(stage.core.gauges).toMatchObject({ flows: 1, unconfirmed_flows: 0 });
    expect(stage.answer(flow)).toBe("flows");
    expect(stage.answer(moved, 60_000, 50)).toBeNull();
  });

  test("a machine that had no address for a while gets its clients at the new one, too", () => {
    const stage = new RelayStage();
    const flow = stage.confirmed(0, client(1));
    stage.learn({
      kind: "machine",
      machineId: machineId(0),
      state: "replacing",
      address: undefined,
    });
    expect(stage.flow(stage.bare())).toBe(flow);
    stage.machine(0, "started", "fdaa::ffff");
    expect(stage.closed).toEqual([nameOf(flow)]);
    const moved = stage.flow(stage.bare());
    expect(moved.address).toBe("fdaa::ffff");
    // The same again changes nothing.
    stage.machine(0, "started", "fdaa::ffff");
    expect(stage.flow(stage.bare())).toBe(moved);
  });

  test("a machine that sleeps keeps its flows; one that is gone does not", () => {
    const stage = new RelayStage();
    const flow = stage.confirmed(0, client(1));
    stage.machine(0, "suspended");
    expect(stage.flow(stage.bare())).toBe(flow);
    expect(stage.requests).toEqual([]);
    stage.learn({ kind: "gone", machineId: machineId(0) });
    expect(stage.closed).toEqual([nameOf(flow)]);
    expect(stage.outcome(stage.bare())).toBe("bad-id");
  });

  test("a flow whose socket was lost is opened anew by the next datagram", () => {
    const stage = new RelayStage();
    const flow = stage.flow(stage.admission());
    stage.core.flowClosed(flow);
    stage.core.flowClosed(flow);
    expect(stage.core.gauges.flows).toBe(0);
    expect(stage.closed).toEqual([]);
    expect(stage.flow(stage.bare())).not.toBe(flow);
  });
});

describe("draining", () => {
  test("new connections are told, and those that are there go on", () => {
    const stage = new RelayStage({ machines: 2 });
    const flow = stage.confirmed(0, client(1));
    stage.learn({ kind: "drain" });
    expect(stage.outcome(stage.admission(1), client(2), 1)).toBe("hint: draining");
    expect(stage.outcome(stage.admission(1), client(2), 1)).toBe("draining");
    expect(stage.flow(stage.bare())).toBe(flow);
    expect(stage.flow(stage.admission(0))).toBe(flow);
    // Somebody's line may have changed: that is no new connection.
    expect(stage.outcome(stage.bare(), client(3))).toBe("forward");
  });

  test("every client is told once, a few at a time, and one that is unconfirmed not before it is", () => {
    const stage = new RelayStage({ machines: 40 });
    const ports = Array.from({ length: 1100 }, (_, at) => at);
    for (const port of ports) {
      stage.confirmed(port % 40, client(port, port));
      stage.now.monotonicMs += 10;
      stage.now.wallMs += 10;
    }
    const late = stage.flow(stage.admission(0), client(5000, 5000));
    stage.learn({ kind: "drain" });
    stage.learn({ kind: "drain" });
    stage.pass(250);
    expect(stage.hints).toHaveLength(1024);
    stage.pass(1000);
    expect(stage.hints).toHaveLength(1100);
    expect(new Set(stage.hints.map(({ source }) => source.key)).size).toBe(1100);
    const [{ bytes } = { bytes: new Uint8Array(0) }] = stage.hints;
    expect(stage.readHint(bytes)).toMatchObject({ state: "draining", tagStart: new Uint8Array(8) });
    stage.answer(late);
    stage.send(stage.bare(0), client(5000, 5000));
    stage.pass(250);
    expect(stage.hints.at(-1)?.source).toEqual(client(5000, 5000));
    expect(stage.core.hints.draining).toBe(1101);
  });
});

function aRun(): unknown[] {
  const stage = new RelayStage({ machines: 3 });
  const outcomes: unknown[] = [seed];
  for (let count = 0; count < 200; count++) {
    const machine = Math.floor(stage.random() * 5);
    const datagram = stage.random() < 0.5 ? stage.admission(machine) : stage.bare(machine);
    outcomes.push(stage.send(datagram, client(count % 7)).kind);
    stage.pass(Math.floor(stage.random() * 400));
  }
  return [outcomes, stage.core.gauges, stage.requests, stage.hints];
}

test("a core does not depend on anything but what it is given", () => {
  expect(aRun()).toEqual(aRun());
});
