import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { machineGate } from "../../../../src/quic/admission-gate.ts";
import { type HintState, sealHint } from "../../../../src/quic/admission-hint.ts";
import { deriveAdmissionKey, formatAdmissionKey } from "../../../../src/quic/admission-key.ts";
import { main } from "../../../../src/roles/client/main.ts";
import { planTransports } from "../../../../src/roles/client/dial/transport.ts";
import { networkKey, ownAddresses } from "../../../../src/roles/client/dial/transport-memory.ts";
import { memoryContext } from "../../../support/memory-context.ts";
import { TestVault } from "../../../support/test-vault.ts";
import { UdpRelay } from "../../../support/udp-relay.ts";
import { WebBridge } from "../../../support/web-bridge.ts";

/** The client between UDP and TCP, to a machine with an admission key. */

const key = deriveAdmissionKey(new Uint8Array(32).fill(1), 1, "148e21ea7e46e8");

let vault: TestVault;
let relay: UdpRelay;
let bridge: WebBridge;

beforeAll(async () => {
  vault = await TestVault.open();
  await vault.restartLink(0, machineGate([key], Date.now));
});
afterAll(async () => {
  await vault.close();
});
beforeEach(async () => {
  const [host = "", port = ""] = vault.address.split(":");
  const machine = { host, port: Number(port) };
  relay = await UdpRelay.open(machine);
  bridge = new WebBridge(machine);
  await rm(join(vault.folder, "state"), { recursive: true, force: true });
  await configure();
});
afterEach(async () => {
  await relay[Symbol.asyncDispose]();
  await bridge[Symbol.asyncDispose]();
});

async function configure(keys: Readonly<Record<string, unknown>> = {}): Promise<void> {
  await vault.configure({
    address: `127.0.0.1:${relay.address.port}`,
    admission_key: formatAdmissionKey(key),
    web_address: bridge.url,
    ...keys,
  });
}

async function exec(...flags: string[]) {
  const context = memoryContext({ env: vault.env });
  const startedMs = performance.now();
  const code = await main(["exec", ...flags, "dev", "echo", "here"], context);
  const tookMs = performance.now() - startedMs;
  return { code, out: context.out(), err: context.err(), tookMs };
}

const reached = { code: 0, out: "here\n" };
const note = (): string =>
  `note: UDP to 127.0.0.1:${relay.address.port} is blocked here, using TLS over TCP (slower). --transport quic insists on UDP.\n`;

describe("the race", () => {
  test("where UDP works nothing else is tried, and nothing is said", async () => {
    expect(await exec()).toMatchObject({ ...reached, err: "" });
    expect(bridge.opened).toBe(0);
  });

  test("where UDP vanishes TCP takes its place, says so once, and is first from then on", async () => {
    relay.set({ loss: 1 });
    const first = await exec();
    expect(first).toMatchObject({ ...reached, err: note() });
    expect(first.tookMs).toBeGreaterThan(800);
    const { dropped } = relay.counts;
    expect(dropped).toBeGreaterThan(0);
    const second = await exec("-v");
    expect(second).toMatchObject(reached);
    expect(second.err).toMatch(/^connected: quic over TCP \d+ ms/m);
    expect(second.err).not.toContain("note:");
    // UDP had no time to be tried beside it.
    expect(relay.counts.dropped).toBe(dropped);
  });

  test("UDP that is slow is no UDP that is blocked", async () => {
    relay.set({ delayMs: 210 });
    // That TCP waits for it is dial-race.test.ts's; here it comes too late, however busy this computer is.
    bridge.onDatagram = () => true;
    expect(await exec()).toMatchObject({ ...reached, err: "" });
    expect(bridge.opened).toBeGreaterThan(0);
    expect(await Bun.file(join(vault.folder, "state/fly-vault/udp-blocked.json")).exists()).toBe(
      false,
    );
  });

  test("a network that lets UDP out again is found out, and forgotten", async () => {
    const network = networkKey(ownAddresses(), `127.0.0.1:${relay.address.port}`);
    const path = join(vault.folder, "state/fly-vault/udp-blocked.json");
    const known = (triedMs: number): string =>
      JSON.stringify({
        version: 1,
        blocked: [{ network, since_ms: Date.now() - 2_000_000, tried_ms: triedMs }],
      });
    await Bun.write(path, known(Date.now()), { mode: 0o600 });
    expect(await exec()).toMatchObject({ ...reached, err: "" });
    expect([bridge.opened, relay.counts.forwarded]).toEqual([1, 0]);

    await Bun.write(path, known(Date.now() - 1_000_000), { mode: 0o600 });
    // Else TCP would win where this computer has no time for UDP soon.
    bridge.refusesWith = 503;
    expect(await exec()).toMatchObject({ ...reached, err: "" });
    expect(relay.counts.forwarded).toBeGreaterThan(0);
    expect((await Bun.file(path).json()).blocked).toEqual([]);
  });

  test("where UDP is known to be blocked, and TCP is refused, UDP is tried all the same", async () => {
    const network = networkKey(ownAddresses(), `127.0.0.1:${relay.address.port}`);
    const blocked = [{ network, since_ms: Date.now(), tried_ms: Date.now() }];
    await Bun.write(
      join(vault.folder, "state/fly-vault/udp-blocked.json"),
      JSON.stringify({ version: 1, blocked }),
      { mode: 0o600 },
    );
    bridge.refusesWith = 503;
    expect(await exec()).toMatchObject({ ...reached, err: "" });
  });

  test.each([
    [["--transport", "quic"], {}, 0],
    [["--transport", "tcp"], {}, 1],
    [[], { transport: "tcp" }, 1],
    [["--transport", "quic"], { transport: "tcp" }, 0],
  ])("%j with %j opens %i WebSockets", async (flags, keys, opened) => {
    await configure(keys);
    expect(await exec(...flags)).toMatchObject({ ...reached, err: "" });
    expect([bridge.opened, relay.counts.forwarded > 0]).toEqual([opened, opened === 0]);
  });

  test.each([
    [{ admission_key: undefined }, '"admission_key" of "dev" is missing'],
    [{ web_address: undefined }, '"web_address" of "dev" is missing'],
  ])("--transport tcp needs what a proxy needs: %j", async (keys, message) => {
    await configure(keys);
    const { code, err } = await exec("--transport", "tcp");
    expect(code).toBe(2);
    expect(err).toContain(message);
    expect(err).toContain("FV-CFG-006");
    expect((await exec("--transport", "udp")).code).toBe(2);
  });

  test("without an admission key there is no TCP, whatever the network", () => {
    const facts = { wish: "auto", isWebPossible: false, udp: "blocked" } as const;
    expect(planTransports(facts)).toEqual({ first: "quic", patienceMs: 0 });
  });
});

/** What the proxy says to one first flight after the other, the last word again and again; null passes it on. */
function sayInTurn(...states: readonly (HintState | null)[]): void {
  const left = [...states];
  bridge.onDatagram = (datagram, reply) => {
    const state = left.length > 1 ? left.shift() : left[0];
    if (datagram[0] !== 0x0b || state === null || state === undefined) return false;
    const timeS = Math.floor(Date.now() / 1000);
    reply(sealHint(key, { state, timeS, tagStart: datagram.slice(16, 24) }));
    return true;
  };
}

describe("what the proxy says", () => {
  test("a machine that is started is waited for, with a line in a pipe", async () => {
    sayInTurn("starting", null);
    expect(await exec("--transport", "tcp")).toMatchObject({
      ...reached,
      err: "machine stopped, starting …\n",
    });
  });

  test("a clock that is off is put right for this connection, and told under -v", async () => {
    const machineSees = Promise.withResolvers<number>();
    const inner = new DataView(new ArrayBuffer(4));
    sayInTurn("clock", null);
    const first = bridge.onDatagram;
    bridge.onDatagram = (datagram, reply) => {
      if (first?.(datagram, reply) === true) return true;
      if (datagram[0] !== 0x0b) return false;
      datagram.subarray(9, 13).forEach((byte, at) => inner.setUint8(at, byte));
      machineSees.resolve(inner.getUint32(0));
      return false;
    };
    const context = {
      ...memoryContext({ env: vault.env }),
      wallMs: () => Date.now() - 400_000,
    };
    // The evidence of a machine is dated, too: there a wrong clock is not put right.
    expect(await main(["exec", "-v", "--transport", "tcp", "dev", "true"], context)).toBe(5);
    expect(context.err()).toMatch(
      /^note: this computer's clock is (39\d|40[01]) s behind the proxy's$/m,
    );
    expect(context.err()).toContain("FV-ATT-006");
    expect(Math.abs((await machineSees.promise) - Date.now() / 1000)).toBeLessThan(5);
  });
});
