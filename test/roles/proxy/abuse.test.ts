import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { machineStates } from "../../../src/roles/proxy/broker-record.ts";
import { proxyLimits as limits } from "../../../src/roles/proxy/limits.ts";
import { mutate } from "../../support/mutation.ts";
import { between, randomBytes } from "../../support/seed.ts";
import { client, keyOf, machineId, nextMaster, RelayStage } from "./relay-stage.ts";

/** What a public relay is abused for, and what comes of it. */

const anybody = (stage: RelayStage) =>
  client(between(stage.random, 1, 65_535), between(stage.random, 0, 2 ** 32 - 1));

/** Almost right, and of no key of this relay's. */
function forged(stage: RelayStage, machine: number): Uint8Array {
  const stranger = keyOf(machine, { epoch: 1, master: new Uint8Array(32).fill(99) });
  const made = [
    () => stage.admission(machine, { key: stranger }),
    () => stage.bare(machine, stranger),
    () => mutate(stage.random, [stage.admission(machine, { key: stranger })]),
    () => randomBytes(stage.random, between(stage.random, 0, 1300)),
  ][between(stage.random, 0, 3)];
  return made?.() ?? new Uint8Array(0);
}

function isSilent(stage: RelayStage): boolean {
  return stage.hints.length + stage.requests.length + stage.released.length === 0;
}

describe("open relay", () => {
  test("datagrams go to addresses of the directory alone, to the machine that the key is of", () => {
    const stage = new RelayStage({ machines: 50 });
    const sent = new Map<string, string>();
    for (let count = 0; count < 3000; count++) {
      const machine = between(stage.random, 0, 99);
      const datagram = stage.random() < 0.5 ? stage.admission(machine) : stage.bare(machine);
      // An address of the attacker's choice, wherever one might be read.
      Buffer.from(datagram.buffer).write("fdaa::bad", between(stage.random, 22, 40));
      const untouched = stage.random() < 0.5 ? stage.admission(machine) : stage.bare(machine);
      for (const each of [datagram, untouched]) {
        const decision = stage.send(each, anybody(stage));
        if (decision.kind === "forward") sent.set(decision.machineId, decision.address);
      }
      stage.now.monotonicMs += 20;
    }
    expect(sent.size).toBe(50);
    for (let machine = 0; machine < 50; machine++)
      expect(sent.get(machineId(machine))).toBe(`fdaa::${(machine + 1).toString(16)}`);
  });

  test("a right tag for a machine that is not of the directory goes nowhere", () => {
    const stage = new RelayStage({ machines: 1 });
    expect(stage.outcome(stage.admission(1))).toBe("held");
    stage.learn({ kind: "gone", machineId: machineId(1) });
    stage.pass(1000);
    expect(stage.outcome(stage.admission(1), client(1), 1)).toBe("hint: unknown-machine");
    expect(stage.outcome(stage.bare(1))).toBe("bad-id");
    expect(stage.released).toEqual([]);
  });
});

describe("reflection and amplification", () => {
  test("nothing is ever said to anybody without a right tag", () => {
    const stage = new RelayStage({ machines: 0 });
    for (const [machine, state] of machineStates.entries()) stage.machine(machine, state);
    for (let count = 0; count < 5000; count++) {
      const decision = stage.send(forged(stage, count % 12), anybody(stage));
      expect(decision.kind).toBe("drop");
      stage.now.monotonicMs += 1;
    }
    stage.learn({ kind: "drain" });
    stage.pass(2000);
    expect(isSilent(stage)).toBe(true);
  });

  test("a right id is no tag: bare datagrams are never answered by the relay", () => {
    const stage = new RelayStage({ machines: 0 });
    for (const [machine, state] of machineStates.entries()) stage.machine(machine, state);
    for (let count = 0; count < 300; count++)
      expect(stage.send(stage.bare(count % 12), client(count)).kind).not.toBe("hint");
    expect(isSilent(stage)).toBe(true);
  });

  test("a hint is at least 47 times smaller than what it answers", () => {
    const stage = new RelayStage();
    const datagram = stage.admission(0, { aheadS: 900 });
    const decision = stage.send(datagram);
    if (decision.kind !== "hint") throw new Error(decision.kind);
    expect(datagram.byteLength / decision.bytes.byteLength).toBeGreaterThan(47);
  });

  test("who never shows that it hears us gets at most 3 times its bytes, however the machine answers", () => {
    const stage = new RelayStage();
    const victim = client(1);
    let [sent, got] = [0, 0];
    for (let count = 0; count < 500; count++) {
      const datagram = stage.admission();
      const flow = stage.flow(datagram, victim);
      sent += datagram.byteLength;
      for (let answer = 0; answer < 10; answer++) {
        const bytes = between(stage.random, 1, 1500);
        if (stage.answer(flow, bytes) === null) got += bytes;
      }
      stage.pass(20);
    }
    expect(got).toBeGreaterThan(2 * sent);
    expect(got).toBeLessThanOrEqual(3 * sent);
  });
});

describe("exhaustion by forged addresses", () => {
  test("without a tag there is no state at all", () => {
    const stage = new RelayStage({ machines: 20 });
    for (let count = 0; count < 20_000; count++) {
      stage.core.fromClient(forged(stage, count % 30), anybody(stage), stage.now);
      stage.now.monotonicMs += 0.1;
    }
    expect(stage.core.gauges).toMatchObject({
      flows: 0,
      held_bytes: 0,
      replay_tags: 0,
      keys: 0,
      open_networks: 0,
    });
  });

  test("with the key of one machine: 64 flows of that, and everybody else comes in as ever", () => {
    const stage = new RelayStage({ machines: 30 });
    for (let count = 0; count < 4000; count++) {
      const datagram = stage.random() < 0.5 ? stage.admission(0) : stage.bare(0);
      const decision = stage.send(datagram, anybody(stage));
      // Its machine helps.
      if (decision.kind === "forward") {
        stage.answer(decision, 60);
        stage.send(stage.bare(0), decision.source);
      }
      stage.pass(5);
      if (count % 200 === 0) stage.confirmed(1 + count / 200, client(count, 7));
    }
    expect(stage.core.gauges.flows).toBe(limits.flowsPerMachineMax + 20);
  });

  test("unconfirmed ones of the victim's own network do not keep it out for more than a second", () => {
    const stage = new RelayStage({ machines: 10 });
    const forge = (): void => {
      for (let port = 0; port < 64; port++) stage.send(stage.admission(port % 8), client(port));
    };
    forge();
    expect(stage.outcome(stage.admission(9), client(9999), 9)).toBe("hint: busy");
    stage.pass(limits.unconfirmedGraceMs);
    stage.confirmed(9, client(9999));
    forge();
    stage.pass(limits.unconfirmedGraceMs);
    forge();
    expect(stage.flow(stage.bare(9), client(9999)).machineId).toBe(machineId(9));
  });

  test("wrong tags in the victim's name do not keep it out", () => {
    const stage = new RelayStage();
    for (let count = 0; count < 10_000; count++) {
      stage.send(forged(stage, 0), client(count));
      stage.now.monotonicMs += 0.05;
    }
    stage.confirmed(0, client(1));
  });
});

test("enumeration: with a wrong tag all machines look the same, be they there or not", () => {
  const stage = new RelayStage({ machines: 0 });
  for (const [machine, state] of machineStates.entries()) stage.machine(machine, state);
  const gone = machineStates.length;
  stage.learn({ kind: "gone", machineId: machineId(gone) });
  stage.learn({ kind: "start", machineId: machineId(1), outcome: "resting", retryS: 900 });
  const stranger = (machine: number) =>
    keyOf(machine, { epoch: 1, master: new Uint8Array(32).fill(99) });
  const outcomes = Array.from({ length: gone + 3 }, (_, machine) => [
    stage.outcome(stage.admission(machine, { key: stranger(machine) })),
    stage.outcome(stage.admission(machine, { key: stranger(machine), aheadS: 900 })),
    stage.outcome(stage.admission(machine, { key: keyOf(machine, nextMaster) })),
    stage.outcome(stage.bare(machine, stranger(machine))),
  ]);
  expect(new Set(outcomes.map((each) => each.join()))).toEqual(
    new Set(["bad-tag,bad-tag,unknown-epoch,bad-id"]),
  );
  expect(isSilent(stage)).toBe(true);
});

describe("cost by starting machines", () => {
  test("nothing but a right and new tag starts one", () => {
    const stage = new RelayStage({ machines: 0 });
    stage.machine(0, "stopped");
    const fresh = stage.admission();
    for (let count = 0; count < 1000; count++) {
      stage.send(forged(stage, 0), anybody(stage));
      stage.send(stage.bare(), client(count));
      stage.send(stage.admission(0, { aheadS: -200 }));
    }
    expect(stage.requests).toEqual([]);
    stage.send(fresh);
    expect(stage.requests).toHaveLength(1);
    for (let count = 0; count < 60; count++) {
      stage.pass(1000);
      stage.send(fresh, client(count));
    }
    expect(stage.requests).toHaveLength(1);
  });

  test("who has the key asks for one start every 10 s, whatever they send", () => {
    const stage = new RelayStage({ machines: 0 });
    stage.machine(0, "stopped");
    for (let count = 0; count < 600; count++) {
      stage.send(stage.admission(), client(count));
      stage.pass(100);
    }
    expect(stage.requests).toHaveLength(6);
  });
});

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
            if (["forward", "new-flow-rate"].includes(stage.outcome(datagram))) taken.push(datagram);
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
  /** So many forged ones in each of so many milliseconds, and what else is done in it. */
  function flood(
    stage: RelayStage,
    { perMs, ms, from }: { perMs: number; ms: number; from: () => ReturnType<typeof client> },
    meanwhile: (at: number) => void,
  ): void {
    const key = keyOf(0, { epoch: 1, master: new Uint8Array(32).fill(99) });
    const datagrams = Array.from({ length: 20 }, () => stage.admission(0, { key }));
    for (let at = 0; at < ms; at++) {
      for (let count = 0; count < perMs; count++)
        stage.core.fromClient(datagrams[count % 20]!, from(), stage.now);
      meanwhile(at);
      stage.now.monotonicMs += 1;
      stage.now.wallMs += 1;
    }
  }

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
    expect(stage.closed).toEqual([stolen]);
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

  test("another machine's id in the client's name does not move it", () => {
    const stage = new RelayStage({ machines: 9 });
    const flow = stage.confirmed(0, client(1));
    for (let machine = 1; machine < 9; machine++) stage.send(stage.bare(machine), client(1));
    expect(stage.flow(stage.bare())).toBe(flow);
    expect(stage.closed).toEqual([]);
  });
});

test("ICMP: a socket that is lost costs its client one more look at the id", () => {
  const stage = new RelayStage();
  const flow = stage.confirmed(0, client(1));
  const datagram = stage.bare();
  for (let count = 0; count < 10; count++) {
    stage.core.flowClosed(stage.flow(datagram));
    stage.pass(250);
  }
  expect(stage.core.gauges.flows).toBe(0);
  expect(stage.answer(flow)).toBe("flows");
  expect(stage.outcome(datagram)).toBe("forward");
});

test("parser bugs behind: only what bears a tag or an id of the machine's key reaches it", () => {
  const stage = new RelayStage({ machines: 3 });
  const genuine = [stage.admission(0), stage.bare(1), stage.bareLong(2)];
  const source = client(1);
  for (let count = 0; count < 5000; count++) {
    const datagram = mutate(stage.random, genuine);
    const decision = stage.core.fromClient(datagram, source, stage.now);
    stage.now.monotonicMs += 0.1;
    if (decision.kind !== "forward") continue;
    const text = Buffer.from(datagram).toString("hex");
    const intact = genuine.some((each, at) => {
      const [from, to] = at === 0 ? [0, each.byteLength] : at === 1 ? [1, 21] : [5, 26];
      return text.includes(Buffer.from(each.subarray(from, to)).toString("hex"));
    });
    expect([count, intact]).toEqual([count, true]);
  }
});

test("a relay that is taken over has no API token: the core knows no more than keys, and no clock", () => {
  const files = closure("src/roles/proxy/relay-core.ts");
  expect(files.length).toBeGreaterThan(15);
  const text = files.map((file) => readFileSync(join(root, file), "utf8")).join("\n");
  expect(files.filter((file) => !/^src\/(roles\/proxy|quic|system\/ip-address)/.test(file))).toEqual([]);
  expect([...text.matchAll(/\bfetch\b|process\.env|Date\.now|performance\.|Math\.random|\bBun\b/g)]).toEqual(
    [],
  );
});

const root = fileURLToPath(new URL("../../..", import.meta.url));

/** What it imports, and what that imports; types apart. */
function closure(start: string): string[] {
  const found = new Set<string>([start]);
  for (const file of found) {
    const text = readFileSync(join(root, file), "utf8").replaceAll(/^import type [^;]*;/gm, "");
    for (const match of text.matchAll(/from "(\.[^"]+)"/g))
      found.add(join(dirname(file), match[1] ?? ""));
  }
  return [...found];
}
