import { afterAll, beforeAll, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { Failure } from "../../../../src/cli/failure.ts";
import { machineGate } from "../../../../src/quic/admission-gate.ts";
import { type HintState, hintStates, sealHint } from "../../../../src/quic/admission-hint.ts";
import { deriveAdmissionKey } from "../../../../src/quic/admission-key.ts";
import type { OpenCarrier } from "../../../../src/quic/carrier.ts";
import { ConnectionClosed } from "../../../../src/quic/connection.ts";
import type { Endpoint } from "../../../../src/quic/endpoint.ts";
import { openUdp } from "../../../../src/quic/udp-carrier.ts";
import type { DialTarget } from "../../../../src/roles/client/dial/dial-attempt.ts";
import { dialFailure } from "../../../../src/roles/client/dial/dial-failure.ts";
import {
  DialRace,
  type DialRaceOptions,
  type DialTiming,
} from "../../../../src/roles/client/dial/dial-race.ts";
import type { DialRoute } from "../../../../src/roles/client/dial/dial-route.ts";
import type { Transport } from "../../../../src/roles/client/dial/transport.ts";
import { WebSocketFailed } from "../../../../src/roles/client/dial/web-socket-carrier.ts";
import { loopback, openServer } from "../../../quic/pair.ts";

/**
 * Races to a machine on loopback, by ways that do what they are told. Only what a test is about ends soon:
 * all that must not come first is far away, for a computer that has no time for us now.
 */

const key = deriveAdmissionKey(new Uint8Array(32).fill(1), 1, "148e21ea7e46e8");
let server: Endpoint;
beforeAll(async () => {
  server = await openServer({ gate: machineGate([key], Date.now) });
});
afterAll(async () => {
  await server.close();
});

interface Way {
  /** Nothing comes back while it is so. */
  readonly isSilent?: () => boolean;
  /** Answers to first flights in turn; then they are passed on, unless the last is to be repeated. */
  readonly hints?: HintState[];
  readonly repeats?: boolean;
  readonly offS?: number;
  readonly fails?: Error;
  readonly againMs?: readonly number[];
}

/** A route of one target; `attempts` counts what was begun. */
class StagedRoute implements DialRoute {
  readonly transport: Transport;
  readonly againMs: readonly number[];
  readonly isPatient: boolean;
  attempts = 0;
  /** Carriers that were not closed. */
  open = 0;
  readonly #way: Way;
  /** Seconds in the headers of first flights. */
  readonly timesS: number[] = [];

  constructor(transport: Transport, way: Way = {}) {
    this.transport = transport;
    this.isPatient = transport === "tcp";
    this.againMs = way.againMs ?? [50, 150, 300];
    this.#way = way;
  }

  targets = async (): Promise<DialTarget[]> => [
    {
      transport: this.transport,
      where: `machine over ${this.transport}`,
      bind: loopback,
      remote: server.address,
      carrier: () => this.#open,
    },
  ];

  readonly #open: OpenCarrier = async (bind, receive) => {
    this.attempts += 1;
    const { fails, isSilent } = this.#way;
    if (fails !== undefined) throw fails;
    const real = await openUdp(bind, receive);
    this.open += 1;
    return {
      address: real.address,
      close: () => {
        this.open -= 1;
        real.close();
      },
      send: (batch) => {
        if (isSilent?.() === true) return true;
        const hint = this.#hintFor(batch.datagram(0));
        if (hint === undefined) return real.send(batch);
        setImmediate(() => receive(hint, server.address.port, server.address.host));
        return true;
      },
    };
  };

  #hintFor(datagram: Uint8Array): Uint8Array | undefined {
    const { hints = [], repeats = false, offS = 0 } = this.#way;
    if (datagram[0] !== 0x0b) return undefined;
    this.timesS.push(new DataView(datagram.buffer, datagram.byteOffset).getUint32(9));
    const state = repeats && hints.length === 1 ? hints[0] : hints.shift();
    if (state === undefined) return undefined;
    const timeS = Math.floor(Date.now() / 1000) + offS;
    return sealHint(key, { state, timeS, tagStart: datagram.slice(16, 24) });
  }
}

function race(
  first: DialRoute,
  second?: DialRoute,
  changes: Partial<Omit<DialRaceOptions, "timing">> & {
    readonly wallMs?: () => number;
    readonly timing?: Partial<DialTiming>;
  } = {},
): DialRace {
  const { wallMs = Date.now, timing, ...others } = changes;
  return new DialRace({
    first,
    second: second && { route: second, afterMs: 150 },
    patienceMs: 250,
    admission: { key, wallMs, randomBytes: (length) => new Uint8Array(randomBytes(length)) },
    timing: {
      dialMs: farMs,
      dialStaggerMs: 30,
      startingMoreMs: farMs,
      startingAgainMs: 100,
      startingAttemptMs: farMs,
      verdictMs: 150,
      ...timing,
    },
    nowMs: () => performance.now(),
    ...others,
  });
}

const farMs = 30_000;
const silent = { isSilent: () => true };

/** Which transport won, and when. */
async function won(runs: DialRace): Promise<{ transport: Transport | null; tookMs: number }> {
  const dialled = await runs.run();
  const tookMs = runs.elapsedMs;
  await dialled?.endpoint.close();
  return { transport: dialled?.transport ?? null, tookMs };
}

test("what answers in time keeps the other route at home", async () => {
  const [udp, tcp] = [new StagedRoute("quic"), new StagedRoute("tcp")];
  const second = { route: tcp, afterMs: farMs };
  expect((await won(race(udp, undefined, { second }))).transport).toBe("quic");
  expect(tcp.attempts).toBe(0);
});

test("TCP wins over silence, once UDP has had its time", async () => {
  const { transport, tookMs } = await won(
    race(new StagedRoute("quic", silent), new StagedRoute("tcp")),
  );
  expect(transport).toBe("tcp");
  expect(tookMs).toBeGreaterThanOrEqual(245);
});

test("UDP that comes while TCP waits is preferred", async () => {
  const isSilent = (): boolean => !runs.answered.has("tcp");
  const late = new StagedRoute("quic", { isSilent, againMs: [200, 400, 800] });
  const runs = race(late, new StagedRoute("tcp"), { patienceMs: farMs });
  expect((await won(runs)).transport).toBe("quic");
  expect([...runs.answered].toSorted()).toEqual(["quic", "tcp"]);
});

test("a first route that fails is followed at once, and is tried again beside the second", async () => {
  const fails = new WebSocketFailed("refused");
  const refused = new StagedRoute("tcp", { fails, againMs: [2 * farMs] });
  const second = { route: new StagedRoute("quic"), afterMs: 2 * farMs };
  const { transport } = await won(race(refused, undefined, { second, patienceMs: 0 }));
  expect(transport).toBe("quic");
  const again = new StagedRoute("tcp", { fails: new WebSocketFailed("refused") });
  const isSilent = (): boolean => again.attempts < 3;
  const late = new StagedRoute("quic", { isSilent, againMs: [220, 400, 800] });
  expect((await won(race(again, late))).transport).toBe("quic");
  expect(again.attempts).toBeGreaterThan(2);
});

test("TCP is not begun twice at a time, UDP is", async () => {
  const [tcp, udp] = [
    new StagedRoute("tcp", { ...silent, againMs: [20, 40] }),
    new StagedRoute("quic", { ...silent, againMs: [20, 40] }),
  ];
  await won(race(udp, tcp, { timing: { dialMs: 700, startingMoreMs: 600 } }));
  expect([udp.attempts, tcp.attempts]).toEqual([3, 1]);
});

test("with nothing left to try it is over before its time", async () => {
  const refused = new StagedRoute("tcp", { fails: new WebSocketFailed("refused"), againMs: [20] });
  const runs = race(refused);
  const { transport, tookMs } = await won(runs);
  expect([transport, runs.errors.length]).toEqual([null, 2]);
  expect(tookMs).toBeLessThan(farMs);
});

test("a name that is not found is told, unless the other route leads there", async () => {
  const failure = new Failure("FV-NET-001", "not resolved");
  const lost: DialRoute = {
    transport: "quic",
    againMs: [],
    isPatient: false,
    targets: () => Promise.reject(failure),
  };
  expect((await won(race(lost, new StagedRoute("tcp"), { patienceMs: 0 }))).transport).toBe("tcp");
  const runs = race(lost, new StagedRoute("tcp", { fails: new WebSocketFailed("x"), againMs: [] }));
  expect(await runs.run()).toBeNull();
  expect(dialFailure("dev", runs, true)).toMatchObject({
    code: failure.code,
    message: failure.message,
    checklist: { steps: [{ passed: false }, { passed: false }] },
  });
});

test("a machine that starts is waited for beyond the time, and asked again and again", async () => {
  const upMs = performance.now() + 3300;
  const route = new StagedRoute("quic", {
    hints: ["starting"],
    get repeats() {
      return performance.now() < upMs;
    },
  });
  const tcp = new StagedRoute("tcp");
  const timing = { dialMs: 3000, startingAttemptMs: 1000 };
  const { transport, tookMs } = await won(race(route, tcp, { timing }));
  expect(transport).toBe("quic");
  expect(tookMs).toBeGreaterThan(3000);
  expect(tcp.attempts).toBe(0);
});

test("not for ever, and not once the proxy has no more to say", async () => {
  const timing = { dialMs: 3000, startingMoreMs: 600, startingAttemptMs: 1000 };
  const route = new StagedRoute("quic", { hints: ["resuming"], repeats: true });
  const endless = race(route, undefined, { timing });
  const { transport, tookMs } = await won(endless);
  expect(transport).toBeNull();
  expect(tookMs).toBeGreaterThanOrEqual(3595);
  expect(dialFailure("dev", endless, true)).toMatchObject({ code: "FV-VM-004" });
});

test("bad news ends it soon, unless something better comes", async () => {
  const bad = race(new StagedRoute("quic", { hints: ["failed"], repeats: true }));
  const { transport, tookMs } = await won(bad);
  expect(transport).toBeNull();
  expect(tookMs).toBeLessThan(farMs);
  const better = new StagedRoute("quic", { hints: ["failed", "starting"] });
  const timing = { verdictMs: farMs };
  expect((await won(race(better, undefined, { timing }))).transport).toBe("quic");
});

const slowClock = (): number => Date.now() - 1_000_000;

test("one wrong clock is learnt for all attempts", async () => {
  const route = new StagedRoute("quic", { hints: ["clock"], againMs: [] });
  const { transport } = await won(race(route, undefined, { wallMs: slowClock }));
  expect(transport).toBe("quic");
  const nowS = Date.now() / 1000;
  expect(route.timesS.map((timeS) => Math.abs(timeS - nowS) < 5)).toEqual([false, true]);
});

test("what is to start beside the other does so, however fast that one is", async () => {
  const isSilent = (): boolean => !runs.answered.has("tcp");
  const [tcp, udp] = [new StagedRoute("tcp"), new StagedRoute("quic", { isSilent })];
  const second = { route: udp, afterMs: 0 };
  const runs = race(tcp, undefined, { second, patienceMs: farMs });
  expect((await won(runs)).transport).toBe("quic");
});

test("everything that lost is closed", async () => {
  // Nothing is won before several are under way, however fast the computer is.
  const isSilent = (): boolean => udp.attempts < 3;
  const udp: StagedRoute = new StagedRoute("quic", { againMs: [0, 0, 0, 1, 1], isSilent });
  const tcp = new StagedRoute("tcp", { isSilent });
  await won(race(udp, undefined, { second: { route: tcp, afterMs: 0 } }));
  const deadlineMs = performance.now() + 20_000;
  while (udp.open + tcp.open > 0 && performance.now() < deadlineMs) await Bun.sleep(5);
  expect([udp.open, tcp.open]).toEqual([0, 0]);
  expect(udp.attempts).toBeGreaterThan(2);
  expect(tcp.attempts).toBeGreaterThan(0);
});

function failureOf(told: HintState | undefined, errors: unknown[] = [], hasKey = true): unknown {
  const hint = told && { state: told, timeS: 0, tagStart: new Uint8Array(8) };
  const places = new Map<string, Transport>([
    ["a:1", "quic"],
    ["[b]:1", "quic"],
    ["web", "tcp"],
  ]);
  return dialFailure(
    "dev",
    { told: hint, errors, places, elapsedMs: 5004, answered: new Set<Transport>() },
    hasKey,
  );
}

test.each([
  ["starting", "FV-VM-004", 'the machine of "dev" was not up in time'],
  ["resuming", "FV-VM-004", 'the machine of "dev" was not up in time'],
  ["failed", "FV-VM-004", 'the machine of "dev" could not be started'],
  ["resting", "FV-VM-005", 'the machine of "dev" is not started again for now'],
  ["unknown-machine", "FV-VM-006", 'there is no machine of "dev"'],
  ["busy", "FV-NET-004", 'the proxy of "dev" is busy'],
  ["draining", "FV-NET-004", 'the proxy of "dev" is being replaced'],
  ["clock", "FV-NET-002", '"dev" did not answer'],
] as const)("the proxy's last word %s becomes %s", (state, code, message) => {
  expect(failureOf(state)).toMatchObject({ code, message });
});

test("every word of a proxy has a failure or none is needed", () => {
  for (const state of hintStates) expect(failureOf(state)).toBeInstanceOf(Failure);
});

test("without a word of the proxy the error says what was tried and how it went", () => {
  const web = new WebSocketFailed("Expected 101 status code: 503");
  expect(failureOf(undefined, [web])).toMatchObject({
    code: "FV-NET-002",
    because: "a:1, [b]:1 over UDP: no reply in 5 s; web over TCP: Expected 101 status code: 503",
    fix: "see that the machine is started (fly machine list); that this network lets UDP out; that this computer's clock is right, and that admission_key is the one the machine has",
  });
  expect(failureOf(undefined, [], false)).toMatchObject({
    because: expect.stringContaining("; web over TCP: no reply in 5 s"),
    fix: expect.stringContaining("else set admission_key"),
  });
  const byTcp = {
    errors: [web],
    places: new Map([["web", "tcp"]] as const),
    elapsedMs: 3000,
    answered: new Set<Transport>(),
  };
  expect(dialFailure("dev", { ...byTcp, told: undefined }, true)).toMatchObject({
    because: "web over TCP: Expected 101 status code: 503",
    fix: expect.not.stringContaining("UDP"),
  });
  const refused = new ConnectionClosed({ kind: "transport", code: 2, reason: "no" });
  expect(failureOf(undefined, [web, refused])).toMatchObject({
    message: '"dev" did not let us connect',
    because: expect.stringContaining("a:1, [b]:1, web: Connection closed"),
  });
  const bug = new TypeError("ours");
  expect(failureOf("busy", [web, bug])).toBe(bug);
});
