import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { machineStates } from "../../../src/roles/proxy/broker-record.ts";
import { proxyLimits as limits } from "../../../src/roles/proxy/limits.ts";
import { mutate } from "../../support/mutation.ts";
import { between } from "../../support/seed.ts";
import {
  anybody,
  client,
  forged,
  keyOf,
  machineId,
  nextMaster,
  RelayStage,
  strangersKey,
} from "./relay-stage.ts";

/** What a public relay is abused for, and what comes of it. */

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
  const outcomes = Array.from({ length: gone + 3 }, (_, machine) => [
    stage.outcome(stage.admission(machine, { key: strangersKey(machine) })),
    stage.outcome(stage.admission(machine, { key: strangersKey(machine), aheadS: 900 })),
    stage.outcome(stage.admission(machine, { key: keyOf(machine, nextMaster) })),
    stage.outcome(stage.bare(machine, strangersKey(machine))),
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
  const files = closure("src/roles/proxy/relay/relay-core.ts");
  expect(files.length).toBeGreaterThan(15);
  const text = files.map((file) => readFileSync(join(root, file), "utf8")).join("\n");
  expect(
    files.filter(
      (file) => !/^src\/(roles\/proxy|quic|system\/(ip-address|token-bucket))/.test(file),
    ),
  ).toEqual([]);
  expect([
    ...text.matchAll(/\bfetch\b|process\.env|Date\.now|performance\.|Math\.random|\bBun\./g),
  ]).toEqual([]);
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
