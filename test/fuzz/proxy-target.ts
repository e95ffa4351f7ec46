import { hintStates, openHint, sealHint } from "../../src/quic/admission-hint.ts";
import { sealAdmission } from "../../src/quic/admission-header.ts";
import { deriveAdmissionKey } from "../../src/quic/admission-key.ts";
import {
  formatProxyMaster,
  parseProxyMasters,
  ProxyMasterError,
} from "../../src/quic/proxy-master.ts";
import { idKeys, routedId } from "../../src/quic/routed-id.ts";
import {
  BrokerRecordError,
  decodeRecord,
  decodeRequest,
  encodeRecord,
  encodeRequest,
  machineStates,
  startOutcomes,
} from "../../src/roles/proxy/broker-record.ts";
import { decodeDoorFrame, encodeDoorFrame } from "../../src/roles/proxy/door-frame.ts";
import { RelayCore } from "../../src/roles/proxy/relay/relay-core.ts";
import { allowing, type FuzzTarget } from "../support/fuzz.ts";
import { pick } from "../support/mutation.ts";
import { between, type Random, randomBytes, seed, seededRandom } from "../support/seed.ts";

/** What a proxy reads: datagrams of anybody, and the pipes between its own processes. */

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const nowS = 1_800_000_000;
const now = { monotonicMs: 0, wallMs: nowS * 1000 };
const masters = [1, 2].map((epoch) => ({ epoch, master: new Uint8Array(32).fill(epoch) }));
const machineIds = machineStates.map((_, at) => (0x148e21ea7e0000 + at).toString(16));
const keys = masters.flatMap(({ epoch, master }) =>
  machineIds.map((machineId) => deriveAdmissionKey(master, epoch, machineId)),
);
const sealed = new Set<string>();
const minted = new Set<string>();

const random = seededRandom(seed);
const core = new RelayCore({
  masters,
  open: false,
  sessionTimeoutMs: 180_000,
  machineBitsPerSecond: 1e9,
  randomBytes: (length) => randomBytes(random, length),
});
for (const [at, state] of machineStates.entries()) {
  const machineId = machineIds[at] ?? "";
  core.learn({ kind: "machine", machineId, state, address: `fdaa::${at + 1}` }, now);
}
core.learn({ kind: "synced" }, now);

function anyDatagram(source: Random): Uint8Array {
  const key = pick(source, keys);
  const choice = source();
  if (choice < 0.4) {
    const datagram = new Uint8Array(between(source, 1200, 1260)).fill(0xc3);
    const timeS = nowS + pick(source, [0, 0, 0, -90, 90, -91, 91, -nowS]);
    const admission = sealAdmission(key, datagram, timeS, randomBytes(source, 3));
    sealed.add(hex(admission));
    return admission;
  }
  const id = routedId(key, idKeys(key), randomBytes(source, 7));
  minted.add(hex(id));
  const rest = randomBytes(source, between(source, 10, 60));
  const head = choice < 0.8 ? Uint8Array.of(0x41) : Uint8Array.of(0xe3, 0, 0, 0, 1, 20);
  return Buffer.concat([head, id, rest]);
}

/** Only what a key made gets anywhere or any answer, in whatever state machines are. */
export const relayDecisions: FuzzTarget = {
  name: "relay decisions",
  runs: 250_000,
  corpus: (source) => Array.from({ length: 200 }, () => anyDatagram(source)),
  check: (bytes) => {
    now.monotonicMs += 0.1;
    // The same client for the same id, and few of them: else limits would hide all else.
    const port = Bun.hash.crc32(bytes.subarray(1, 21)) % 50;
    const decision = core.fromClient(bytes, { key: port, network: port }, now);
    if (now.monotonicMs % 100 < 0.1) core.tick(now);
    const output = core.takeOutput();
    const isGenuine =
      sealed.has(hex(bytes)) ||
      minted.has(hex(bytes.subarray(1, 21))) ||
      minted.has(hex(bytes.subarray(6, 26)));
    const said = (output?.hints.length ?? 0) + (output?.requests.length ?? 0);
    if (decision.kind === "drop" && said === 0) return false;
    if (!isGenuine) throw new Error(`a stranger's, and yet: ${decision.kind}, ${said} said`);
    if (decision.kind !== "forward") return true;
    const at = machineIds.indexOf(decision.machineId);
    core.fromMachine(decision, 1, 1, now);
    if (decision.address !== `fdaa::${at + 1}`) throw new Error("to another address");
    return true;
  },
};

/** A record that survives its own spelling, or `BrokerRecordError`. */
export const brokerRecords: FuzzTarget = {
  name: "broker records",
  runs: 300_000,
  corpus: (source) =>
    Array.from({ length: 200 }, () => {
      const machineId = hex(randomBytes(source, 7));
      const address = pick(source, ["", "10.1.2.3", "fdaa::1"]) || undefined;
      return pick(source, [
        encodeRecord({ kind: "machine", machineId, state: pick(source, machineStates), address }),
        encodeRecord({ kind: "gone", machineId }),
        encodeRecord({ kind: "start", machineId, outcome: pick(source, startOutcomes), retryS: 9 }),
        encodeRecord({ kind: "synced" }),
        encodeRequest({ kind: pick(source, ["lookup", "start"]), machineId }),
      ]);
    }),
  check: (bytes) => {
    const record = allowing(BrokerRecordError, () => decodeRecord(bytes));
    if (record !== undefined && !Bun.deepEquals(decodeRecord(encodeRecord(record)), record))
      throw new Error(`spelled otherwise: ${JSON.stringify(record)}`);
    const request = allowing(BrokerRecordError, () => decodeRequest(bytes));
    if (request !== undefined && !Bun.deepEquals(decodeRequest(encodeRequest(request)), request))
      throw new Error(`spelled otherwise: ${JSON.stringify(request)}`);
    return record !== undefined || request !== undefined;
  },
};

const cookie = new Uint8Array(8).fill(6);

/** Only with the cookie, and all of the datagram as it stands. */
export const doorFrames: FuzzTarget = {
  name: "door frames",
  runs: 200_000,
  corpus: (source) =>
    Array.from({ length: 100 }, () =>
      encodeDoorFrame(cookie, {
        connection: between(source, 0, 2 ** 32 - 1),
        address: pick(source, ["10.1.2.3", "fdaa::1", "::", "::ffff:1.2.3.4"]),
        datagram: randomBytes(source, between(source, 0, 100)),
      }),
    ),
  check: (bytes) => {
    const frame = decodeDoorFrame(cookie, bytes);
    if (frame === null) return false;
    if (hex(bytes.subarray(0, 8)) !== hex(cookie)) throw new Error("without the cookie");
    if (hex(frame.datagram) !== hex(bytes.subarray(30))) throw new Error("another datagram");
    const again = encodeDoorFrame(cookie, frame);
    if (hex(again.subarray(0, 28)) !== hex(bytes.subarray(0, 28)))
      throw new Error(`another client: ${frame.address}`);
    return true;
  },
};

const hinting = deriveAdmissionKey(new Uint8Array(32).fill(4), 1, "148e21ea7e46e8");
const hints = new Set<string>();

/** Nothing opens but what a holder of the key sealed. */
export const admissionHints: FuzzTarget = {
  name: "admission hints",
  runs: 300_000,
  corpus: (source) =>
    Array.from({ length: 200 }, () => {
      const timeS = between(source, 0, 2 ** 32 - 1);
      const hint = { state: pick(source, hintStates), timeS, tagStart: randomBytes(source, 8) };
      const bytes = sealHint(hinting, hint);
      hints.add(hex(bytes));
      return bytes;
    }),
  decodedShareMin: 0.0001,
  check: (bytes) => {
    if (openHint(hinting, bytes) === null) return false;
    if (!hints.has(hex(bytes))) throw new Error("a forged hint");
    return true;
  },
};

/** What is taken as masters is what would be written for them; everything else is `ProxyMasterError`. */
export const proxyMasters: FuzzTarget = {
  name: "proxy masters",
  runs: 300_000,
  corpus: (source) =>
    Array.from({ length: 100 }, () => {
      const epochs = pick(source, [[between(source, 0, 7)], [1, 2], [7, 0]]);
      const texts = epochs.map((epoch) =>
        formatProxyMaster({ epoch, master: randomBytes(source, 32) }),
      );
      return Buffer.from(texts.join(pick(source, [",", "\n", ", "])));
    }),
  check: (bytes) => {
    const text = Buffer.from(bytes).toString();
    const read = allowing(ProxyMasterError, () => parseProxyMasters(text));
    if (read === undefined) return false;
    const written = read.map(formatProxyMaster).join(",");
    if (written !== text.trim().replaceAll(/[\s,]+/gu, ",")) throw new Error(`read as ${written}`);
    return true;
  },
};
