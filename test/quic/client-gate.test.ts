import { beforeEach, describe, expect, test } from "bun:test";
import fc from "fast-check";
import { clientGate } from "../../src/quic/admission-gate.ts";
import { openAdmission } from "../../src/quic/admission-header.ts";
import {
  type AdmissionHint,
  hintBytes,
  type HintState,
  hintStates,
  sealHint,
  tagStartBytes,
} from "../../src/quic/admission-hint.ts";
import { deriveAdmissionKey } from "../../src/quic/admission-key.ts";
import type { DatagramGate } from "../../src/quic/carrier.ts";
import { quicLimits } from "../../src/quic/limits.ts";
import { seeded } from "../support/seed.ts";

/** What a client's gate believes of hints, and what it makes of them. */

const machineId = "148e21ea7e46e8";
const master = new Uint8Array(32).fill(5);
const key = deriveAdmissionKey(master, 3, machineId);
const foreign = deriveAdmissionKey(master, 3, "148e21ea7e46e9");
const from = { host: "127.0.0.1", port: 5 };
const nothing = new Uint8Array(tagStartBytes);

let clockS: number;
let drawn: number;
let heard: AdmissionHint[];
let gate: DatagramGate;

beforeEach(() => {
  clockS = 1_800_000_000;
  drawn = 0;
  heard = [];
  gate = openGate();
});

function openGate(): DatagramGate {
  return clientGate({
    key,
    wallMs: () => clockS * 1000 + 250,
    randomBytes: (length) => new Uint8Array(length).fill(drawn++),
    onHint: (hint) => heard.push(hint),
  });
}

function firstFlight(): Uint8Array {
  const datagram = Buffer.alloc(1200, 7);
  datagram.set([0xc3, 0, 0, 0, 1, 8, 1, 2, 3, 4, 5, 6, 7, 8]);
  return datagram;
}

/** Time and start of the tag of what the gate sends now. */
function sent(by = gate): { readonly timeS: number; readonly tagStart: Uint8Array } {
  const sealed = by.seal(firstFlight(), from);
  const admission = sealed && openAdmission(sealed, () => key.key);
  if (!admission) throw new Error("Nothing was sealed");
  return { timeS: admission.timeS, tagStart: admission.tag.slice(0, tagStartBytes) };
}

function tell(state: HintState, timeS: number, tagStart: Uint8Array = nothing, by = key): void {
  expect(gate.open(sealHint(by, { state, timeS, tagStart }), from)).toBeNull();
}

const states = (): HintState[] => heard.map(({ state }) => state);

describe("a clock that is off", () => {
  test.each([-100_000, -91, 91, 500_000_000])(
    "by %i s is put right from the next datagram on",
    (offS) => {
      const first = sent();
      expect(first.timeS).toBe(clockS);
      tell("clock", clockS + offS, first.tagStart);
      expect(sent().timeS).toBe(clockS + offS);
      // It goes on from there.
      clockS += 60;
      expect(sent().timeS).toBe(clockS + offS);
      expect(heard).toEqual([
        { state: "clock", timeS: clockS - 60 + offS, tagStart: first.tagStart },
      ]);
    },
  );

  test("is not put right by a hint that answers nothing, new as it may be", () => {
    sent();
    for (const offS of [0, 60, 90, 1000]) tell("clock", clockS + offS);
    tell(
      "clock",
      clockS + 60,
      sent(openGate()).tagStart.map((byte) => byte ^ 1),
    );
    expect(sent().timeS).toBe(clockS);
    expect(heard).toEqual([]);
  });

  test("is another connection's own affair", () => {
    const other = openGate();
    tell("clock", clockS + 1000, sent().tagStart);
    expect(sent(other).timeS).toBe(clockS);
  });

  test("and what nobody asked for is then held against the time that was learnt", () => {
    tell("clock", clockS + 1000, sent().tagStart);
    tell("draining", clockS);
    tell("draining", clockS + 1000);
    expect(states()).toEqual(["clock", "draining"]);
  });
});

test("every word of a proxy arrives with its time and what it answers", () => {
  const { tagStart } = sent();
  for (const state of hintStates) tell(state, clockS, tagStart);
  expect(states()).toEqual([...hintStates]);
  expect(heard.every((hint) => hint.timeS === clockS)).toBe(true);
});

test("an answer is believed however old, what answers nothing only while it is new", () => {
  const { tagStart } = sent();
  tell("starting", clockS - 100_000, tagStart);
  expect(states()).toEqual(["starting"]);
  const window = quicLimits.admissionClockS;
  for (const ageS of [-window - 1, -window + 1, 0, window - 1, window + 1])
    tell("draining", clockS - ageS);
  expect(states()).toEqual(["starting", "draining", "draining", "draining"]);
});

test("answers to the last thirty-two admissions count, one before them does not", () => {
  const tags = Array.from({ length: quicLimits.askedTagsMax + 1 }, () => sent().tagStart);
  for (const tagStart of tags) tell("busy", clockS - 1000, tagStart);
  expect(heard).toHaveLength(quicLimits.askedTagsMax);
  expect(heard[0]?.tagStart).toEqual(tags[1]);
});

test("a hint made with another machine's key is nothing, whatever it answers", () => {
  for (const state of hintStates) tell(state, clockS, sent().tagStart, foreign);
  expect([heard, sent().timeS]).toEqual([[], clockS]);
});

test("with any bit changed, or cut or longer, it is nothing", () => {
  const { tagStart } = sent();
  const whole = sealHint(key, { state: "clock", timeS: clockS + 1000, tagStart });
  for (let at = 0; at < hintBytes * 8; at++) {
    const damaged = whole.slice();
    damaged[at >> 3]! ^= 1 << (at & 7);
    gate.open(damaged, from);
  }
  for (let cut = 0; cut < hintBytes; cut++) gate.open(whole.slice(0, cut), from);
  gate.open(Buffer.concat([whole, Uint8Array.of(0)]), from);
  expect([heard, sent().timeS]).toEqual([[], clockS]);
});

test("no bytes of anybody's making are opened to a datagram, or move the clock", () => {
  sent();
  const bytes = fc.uint8Array({ minLength: hintBytes, maxLength: hintBytes });
  const property = fc.property(bytes, (hint) => {
    hint[0] = 0x0a;
    return gate.open(hint, from) === null && heard.length === 0;
  });
  fc.assert(property, seeded(2000));
  expect(sent().timeS).toBe(clockS);
});

test("a state that this client does not know is nothing", () => {
  const unknown = sealHint(key, { state: "clock", timeS: clockS, tagStart: sent().tagStart });
  expect(hintStates).toHaveLength(8);
  // Of a later version, and well made: only its maker could say so.
  const hint = { state: "later" as HintState, timeS: clockS, tagStart: nothing };
  gate.open(sealHint(key, hint), from);
  expect(heard).toEqual([]);
  gate.open(unknown, from);
  expect(states()).toEqual(["clock"]);
});
