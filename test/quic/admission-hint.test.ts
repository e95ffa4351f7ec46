import { describe, expect, test } from "bun:test";
import { clientGate } from "../../src/quic/admission-gate.ts";
import {
  type AdmissionHint,
  hintStates,
  openHint,
  sealHint,
} from "../../src/quic/admission-hint.ts";
import { deriveAdmissionKey } from "../../src/quic/admission-key.ts";

const master = new Uint8Array(32).fill(5);
const key = deriveAdmissionKey(master, 3, "148e21ea7e46e8");
const foreign = deriveAdmissionKey(master, 3, "148e21ea7e46e9");
const nowS = 1_800_000_000;
const tagStart = new Uint8Array(8).fill(4);

describe("hints", () => {
  test.each(hintStates)("%s comes back as it was, from 26 bytes", (state) => {
    const sealed = sealHint(key, { state, timeS: nowS, tagStart });
    expect(sealed).toHaveLength(26);
    expect(openHint(key, sealed)).toEqual({ state, timeS: nowS, tagStart });
  });

  test("of a whole tag the first 8 bytes are answered", () => {
    const sealed = sealHint(key, {
      state: "busy",
      timeS: nowS,
      tagStart: new Uint8Array(12).fill(4),
    });
    expect(openHint(key, sealed)?.tagStart).toEqual(tagStart);
  });

  test("looks like the one of docs/transport.md", () => {
    const sealed = sealHint(key, { state: "starting", timeS: nowS, tagStart });
    expect(Buffer.from(sealed).toString("hex")).toBe(
      "0a0404040404040404016b49d20016063dcff21695116f49ebd1",
    );
  });

  test("with any bit changed, cut, or of another machine, it is nothing", () => {
    const sealed = sealHint(key, { state: "starting", timeS: nowS, tagStart });
    for (let at = 0; at < 26 * 8; at++) {
      const damaged = sealed.slice();
      damaged[at >> 3] = (damaged[at >> 3] ?? 0) ^ (1 << (at & 7));
      expect([at, openHint(key, damaged)]).toEqual([at, null]);
    }
    expect(openHint(key, sealed.subarray(0, 25))).toBeNull();
    expect(openHint(key, Buffer.concat([sealed, Uint8Array.of(0)]))).toBeNull();
    expect(openHint(foreign, sealed)).toBeNull();
  });
});

describe("a client", () => {
  const from = { host: "127.0.0.1", port: 5 };
  const flight = new Uint8Array(1200);
  flight.set([0xc3, 0, 0, 0, 1, 8]);

  function stage(wallMs = nowS * 1000) {
    const hints: AdmissionHint[] = [];
    const gate = clientGate({
      key,
      wallMs: () => wallMs,
      randomBytes: (length) => new Uint8Array(length),
      onHint: (hint) => hints.push(hint),
    });
    const seal = (): Uint8Array => gate.seal(flight, from) ?? new Uint8Array(0);
    return { gate, hints, seal };
  }

  test("with a wrong clock seals by the proxy's, once its own admission was answered", () => {
    const { gate, seal } = stage((nowS - 5000) * 1000);
    const sealed = seal();
    gate.open(sealHint(key, { state: "clock", timeS: nowS, tagStart }), from);
    expect(timeOf(seal())).toBe(nowS - 5000);
    const answered = sealed.slice(16, 24);
    gate.open(sealHint(key, { state: "clock", timeS: nowS, tagStart: answered }), from);
    expect(timeOf(seal())).toBe(nowS);
  });

  test("believes what answers it, or is new; no old hint that somebody kept, and no forged one", () => {
    const { gate, hints, seal } = stage();
    const answered = seal().slice(16, 24);
    const say = (timeS: number, tag: Uint8Array, by = key): void => {
      gate.open(sealHint(by, { state: "draining", timeS, tagStart: tag }), from);
    };
    say(nowS - 1000, answered);
    say(nowS - 90, tagStart);
    expect(hints).toHaveLength(2);
    say(nowS - 91, tagStart);
    say(nowS + 91, tagStart);
    say(nowS, answered, foreign);
    expect(hints).toHaveLength(2);
  });

  test("forgets what it asked long ago", () => {
    const { gate, hints } = stage();
    const random = { drawn: 0 };
    const forgetful = clientGate({
      key,
      wallMs: () => nowS * 1000,
      randomBytes: () => Uint8Array.of(0, 0, random.drawn++),
      onHint: (hint) => hints.push(hint),
    });
    const first = forgetful.seal(flight, from)?.slice(16, 24) ?? tagStart;
    const ask = (): void =>
      void forgetful.open(
        sealHint(key, { state: "busy", timeS: nowS - 500, tagStart: first }),
        from,
      );
    ask();
    for (let count = 0; count < 32; count++) forgetful.seal(flight, from);
    ask();
    expect(hints).toHaveLength(1);
    expect(gate.open(new Uint8Array(3), from)).toBeNull();
  });
});

function timeOf(sealed: Uint8Array): number {
  return Buffer.from(sealed).readUInt32BE(9);
}
