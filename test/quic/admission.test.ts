import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { clientGate, machineGate } from "../../src/quic/admission-gate.ts";
import { admissionBytes, openAdmission, sealAdmission } from "../../src/quic/admission-header.ts";
import {
  type AdmissionKey,
  AdmissionKeyError,
  connectionIdKey,
  deriveAdmissionKey,
  formatAdmissionKey,
  parseAdmissionKeys,
} from "../../src/quic/admission-key.ts";
import type { DatagramGate } from "../../src/quic/carrier.ts";
import { quicLimits } from "../../src/quic/limits.ts";
import { ReplaySet } from "../../src/quic/replay-set.ts";
import { idKeys, openRoutedId, routedConnectionIds, routedId } from "../../src/quic/routed-id.ts";
import { seeded } from "../support/seed.ts";

const machineId = "148e21ea7e46e8";
const master = new Uint8Array(32).fill(5);
const key = deriveAdmissionKey(master, 3, machineId);
const newer = deriveAdmissionKey(new Uint8Array(32).fill(6), 4, machineId);
const foreign = deriveAdmissionKey(master, 3, "148e21ea7e46e9");
const nowS = 1_800_000_000;
const from = { host: "127.0.0.1", port: 5 };

/** A first flight as a gate sees it: a long header, to an id of the client's own making. */
function flight(id = "0102030405060708", bytes = 1200): Uint8Array {
  const datagram = Buffer.alloc(bytes, 7);
  datagram.set([0xc3, 0, 0, 0, 1, id.length / 2]);
  datagram.write(id, 6, "hex");
  return datagram;
}

/** From a client with this key and clock. */
function sealed(by: AdmissionKey = key, atS = nowS): Uint8Array {
  const client = clientGate({ key: by, wallMs: () => atS * 1000, randomBytes });
  return client.seal(flight(), from) ?? new Uint8Array(0);
}

let drawn = 0;
function randomBytes(length: number): Uint8Array {
  const bytes = Buffer.alloc(length);
  bytes.writeUIntBE(drawn++, 0, 3);
  return bytes;
}

function keyOf(epoch: number, machine: string): Uint8Array | undefined {
  return epoch === key.epoch && machine === machineId ? key.key : undefined;
}

/** With the key, whatever its size. */
function opened(bytes: number): unknown {
  return openAdmission(sealAdmission(key, flight("01", bytes), nowS, new Uint8Array(3)), keyOf);
}

function gate(keys: readonly AdmissionKey[] = [key]): DatagramGate {
  return machineGate(keys, () => nowS * 1000);
}

function tag(number: number): Uint8Array {
  const bytes = Buffer.alloc(12);
  bytes.writeUInt32BE(number);
  return bytes;
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

describe("keys as text", () => {
  test("one or two, the first to be used", () => {
    const text = formatAdmissionKey(newer);
    expect(text).toMatch(/^fva1_4_148e21ea7e46e8_[\w-]{64}$/);
    expect(parseAdmissionKeys(text)).toEqual([newer]);
    expect(parseAdmissionKeys(`${text}, ${formatAdmissionKey(key)}\n`)).toEqual([newer, key]);
  });

  test.each([
    ["", "is not fva1_"],
    ["fva1_8_148e21ea7e46e8_" + "A".repeat(64), "is not fva1_"],
    ["fva1_1_148e21ea7e46E8_" + "A".repeat(64), "is not fva1_"],
    ["fva1_1_148e21ea7e46e8_" + "A".repeat(63), "is not fva1_"],
    [`${formatAdmissionKey(key)},`, "is not fva1_"],
    [`${formatAdmissionKey(key)},${formatAdmissionKey(key)}`, "of one epoch"],
    [`${formatAdmissionKey(newer)},${formatAdmissionKey(foreign)}`, "different machines"],
    [[1, 2, 3].map((epoch) => formatAdmissionKey({ ...key, epoch })).join(","), "more than 2"],
  ])("what is none is refused without being shown: %s", (text, complaint) => {
    const error = (() => {
      try {
        return parseAdmissionKeys(text);
      } catch (thrown) {
        return thrown;
      }
    })();
    if (!(error instanceof AdmissionKeyError)) throw new Error("no complaint");
    expect(error.message).toContain(complaint);
    expect(error.message).not.toContain("AAAA");
    expect(error.message).not.toContain(formatAdmissionKey(key).slice(-20));
  });

  test("machines and masters have keys of their own", () => {
    const keys = [key, newer, foreign].map((one) => hex(one.key));
    expect(new Set([...keys, hex(connectionIdKey(key))]).size).toBe(4);
  });
});

describe("the header", () => {
  test("opens to what was sealed", () => {
    const admission = openAdmission(sealed(), keyOf);
    expect(admission).toMatchObject({ machineId, timeS: nowS });
    expect(hex(admission?.datagram ?? new Uint8Array(0))).toBe(hex(flight()));
  });

  test("with any bit changed, or cut, it is nothing", () => {
    const whole = sealed();
    const bit = fc.nat(whole.byteLength * 8 - 1);
    const flips = fc.property(bit, (at) => {
      const damaged = whole.slice();
      damaged[at >> 3] = (damaged[at >> 3] ?? 0) ^ (1 << (at & 7));
      return openAdmission(damaged, keyOf) === null;
    });
    fc.assert(flips, seeded(3000));
    // Of the header every one.
    for (let at = 0; at < admissionBytes * 8; at++) {
      const damaged = whole.slice();
      damaged[at >> 3] = (damaged[at >> 3] ?? 0) ^ (1 << (at & 7));
      expect(openAdmission(damaged, () => key.key)).toBeNull();
    }
    for (const cut of [0, 1, 27, 28, 1227])
      expect(openAdmission(whole.subarray(0, cut), keyOf)).toBeNull();
  });

  test("a clock that is no clock at all is no reason to fall over", () => {
    for (const timeS of [-1, 2 ** 32, 2 ** 40 + 0.5]) {
      const datagram = sealAdmission(key, flight(), timeS, new Uint8Array(3));
      expect(openAdmission(datagram, keyOf)?.timeS).toBe(timeS >>> 0);
    }
  });

  test("sizes: from a padded first flight to the largest a connection sends", () => {
    expect(opened(quicLimits.initialDatagramBytesMin)).not.toBeNull();
    expect(opened(quicLimits.initialDatagramBytesMin - 1)).toBeNull();
    expect(opened(quicLimits.datagramBytesOptionMax)).not.toBeNull();
    expect(opened(quicLimits.datagramBytesOptionMax + 1)).toBeNull();
  });
});

describe("the client's gate", () => {
  test("tags whatever goes to its first id, and nothing else, every time anew", () => {
    const client = clientGate({ key, wallMs: () => nowS * 1000, randomBytes });
    const first = client.seal(flight(), from);
    const again = client.seal(flight(), from);
    expect(first).toHaveLength(1228);
    expect(hex(again ?? flight())).not.toBe(hex(first ?? flight()));
    expect(client.seal(flight("ff".repeat(20)), from)).toBeNull();
    expect(client.seal(flight("0102030405060709"), from)).toBeNull();
    expect(client.seal(flight(), from)).not.toBeNull();
    expect(client.open(sealed(), from)).toBeNull();
  });
});

describe("the machine's gate", () => {
  test("lets in who has the key, once for each datagram", () => {
    const machine = gate();
    const datagram = sealed();
    expect(hex(machine.open(datagram, from) ?? new Uint8Array(0))).toBe(hex(flight()));
    expect(machine.open(datagram, from)).toBeNull();
    expect(machine.open(sealed(), from)).not.toBeNull();
    expect(machine.seal(flight(), from)).toBeNull();
  });

  test("not with the key of another machine or another master, nor without keys", () => {
    expect(gate().open(sealed(foreign), from)).toBeNull();
    expect(gate().open(sealed(newer), from)).toBeNull();
    expect(gate().open(sealed({ ...key, key: foreign.key }), from)).toBeNull();
    expect(gate().open(sealed({ ...newer, key: key.key }), from)).toBeNull();
    expect(gate([]).open(sealed(), from)).toBeNull();
  });

  test("while the master changes, with both", () => {
    const machine = gate([newer, key]);
    for (const one of [key, newer]) expect(machine.open(sealed(one), from)).not.toBeNull();
  });

  test("clocks may be 90 seconds apart", () => {
    for (const apart of [-90, 0, 90])
      expect([apart, gate().open(sealed(key, nowS + apart), from)]).not.toEqual([apart, null]);
    for (const apart of [-91, 91, 1_000_000])
      expect(gate().open(sealed(key, nowS + apart), from)).toBeNull();
  });

  test("what is tagged must have a long header", () => {
    const short = flight();
    short[0] = 0x43;
    const datagram = sealAdmission(key, short, nowS, new Uint8Array(3));
    expect(gate().open(datagram, from)).toBeNull();
  });
});

describe("tags seen before", () => {
  test("are known for as long as any clock would let them in, then forgotten", () => {
    const set = new ReplaySet();
    expect(set.add("a", tag(1), 0)).toBe(true);
    expect(set.add("b", tag(1), 0)).toBe(true);
    expect(set.add("a", tag(1), 180_000)).toBe(false);
    expect(set.size).toBe(2);
    expect(set.add("a", tag(1), 180_001)).toBe(true);
    expect(set.size).toBe(1);
  });

  test("a machine that has too many loses its own, oldest first", () => {
    const set = new ReplaySet();
    set.add("quiet", tag(0), 0);
    for (let count = 0; count < 2 * quicLimits.replaysPerMachineMax; count++)
      set.add("loud", tag(count), 1);
    expect(set.size).toBe(quicLimits.replaysPerMachineMax + 1);
    expect(set.add("quiet", tag(0), 1)).toBe(false);
    expect(set.add("loud", tag(quicLimits.replaysPerMachineMax), 1)).toBe(false);
    expect(set.add("loud", tag(0), 1)).toBe(true);
  });

  test("of all machines together there are so many and no more", () => {
    const set = new ReplaySet();
    for (let count = 0; count <= quicLimits.replaysMax; count++)
      set.add(`machine ${count % 200}`, tag(count), 1);
    expect(set.size).toBe(quicLimits.replaysMax);
    expect(set.add("machine 1", tag(1), 1)).toBe(false);
    expect(set.add("machine 0", tag(0), 1)).toBe(true);
  });
});

describe("routed ids", () => {
  const secret = new Uint8Array(32).fill(8);
  const ids = routedConnectionIds([newer, key], secret);
  const known = {
    padOf: (epoch: number) => [key, newer].filter((one) => one.epoch === epoch).map(idKeys)[0]?.pad,
    tagKeyOf: (epoch: number, machine: string) =>
      [key, newer]
        .filter((one) => one.epoch === epoch && one.machineId === machine)
        .map(connectionIdKey)[0],
  };

  test("say where they lead, by the first key; the same machine knows them again", () => {
    const id = ids.mint();
    expect(id).toHaveLength(20);
    expect(openRoutedId(id, known)).toEqual({ epoch: newer.epoch, machineId });
    const next = routedConnectionIds([newer], secret);
    expect(next.recognises(id)).toBe(true);
    expect(hex(next.resetToken(id))).toBe(hex(ids.resetToken(id)));
    expect(routedConnectionIds([key], secret).recognises(id)).toBe(false);
    expect(ids.recognises(routedConnectionIds([key], secret).mint())).toBe(true);
    expect(ids.recognises(routedConnectionIds([foreign], secret).mint())).toBe(false);
  });

  test("two of one machine have nothing in common that its neighbours on the path could see", () => {
    const [one, other] = [ids.mint(), ids.mint()];
    expect(hex(one.subarray(1, 8))).not.toBe(hex(other.subarray(1, 8)));
    expect(hex(one)).not.toContain(machineId);
  });

  test("the admission key is not enough to end a connection", () => {
    const id = ids.mint();
    const guess = routedConnectionIds([newer, key], new Uint8Array(32)).resetToken(id);
    expect(hex(guess)).not.toBe(hex(ids.resetToken(id)));
  });

  test("are all different where routes tell them apart", () => {
    const seen = new Set(Array.from({ length: 5000 }, () => hex(ids.mint().subarray(8, 14))));
    expect(seen.size).toBe(5000);
  });

  test("with any bit changed, or of another length, they are nobody's", () => {
    const id = routedId(key, idKeys(key), new Uint8Array(7).fill(9));
    expect(ids.recognises(id)).toBe(true);
    for (let at = 0; at < 160; at++) {
      const damaged = id.slice();
      damaged[at >> 3] = (damaged[at >> 3] ?? 0) ^ (1 << (at & 7));
      expect([at, ids.recognises(damaged)]).toEqual([at, false]);
    }
    expect(ids.recognises(id.subarray(1))).toBe(false);
    expect(ids.recognises(Buffer.concat([id, Uint8Array.of(0)]))).toBe(false);
  });
});
