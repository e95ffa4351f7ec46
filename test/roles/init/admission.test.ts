import { freePort } from "../../support/free-port.ts";
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { FrameStream } from "../../../src/protocol/frame.ts";
import { request, type Status, statusSchema } from "../../../src/protocol/message.ts";
import { clientGate } from "../../../src/quic/admission-gate.ts";
import {
  type AdmissionKey,
  deriveAdmissionKey,
  formatAdmissionKey,
} from "../../../src/quic/admission-key.ts";
import type { OpenCarrier } from "../../../src/quic/carrier.ts";
import { type Connection, ConnectionClosed } from "../../../src/quic/connection.ts";
import type { Endpoint, EndpointOptions } from "../../../src/quic/endpoint.ts";
import { openUdp } from "../../../src/quic/udp-carrier.ts";
import { decodeLinkKeys, encodeLinkKeys } from "../../../src/roles/init/link-plan.ts";
import { textOf } from "../../../src/system/proc-files.ts";
import { LoginStage, weakToken } from "../../support/login-stage.ts";
import { secretTraces } from "../../support/secret-traces.ts";
import { TestMachine } from "./machine.ts";

setDefaultTimeout(120_000);

/** The whole of init with an admission key. */
const machineId = "148e21ea7e46e8";
const key = deriveAdmissionKey(new Uint8Array(randomBytes(32)), 3, machineId);
const newer = deriveAdmissionKey(new Uint8Array(randomBytes(32)), 4, machineId);
const foreign = deriveAdmissionKey(new Uint8Array(randomBytes(32)), 3, "148e21ea7e46e9");
const text = `${formatAdmissionKey(newer)},${formatAdmissionKey(key)}`;
let machine: TestMachine;
let stage: LoginStage;
let api: Bun.Server<undefined>;

beforeAll(async () => {
  stage = await LoginStage.open();
  machine = new TestMachine({
    env: {
      FLY_APP_NAME: "dev-vaults",
      ACCESS_TOKEN: weakToken,
      VAULT_ADMISSION_KEY: text,
      VAULT_LISTEN: `127.0.0.1:${freePort()}`,
    },
  });
  api = Bun.serve({
    unix: join(machine.folder, "api"),
    fetch: async (incoming) => {
      const { aud } = (await incoming.json()) as { aud: string };
      return new Response(stage.issuer.sign(aud, {}));
    },
  });
  await machine.start();
  await machine.untilLogged('"event":"listening"');
});

afterAll(async () => {
  await stage.close();
  await machine[Symbol.asyncDispose]();
  await api.stop(true);
});

function address(of: TestMachine): { host: string; port: number } {
  const [host = "", port = ""] = readFileSync(join(of.runDir, "listening"), "utf8")
    .trim()
    .split(":");
  return { host, port: Number(port) };
}

function tagged(by: AdmissionKey = key, aheadMs = 0): Partial<EndpointOptions> {
  const wallMs = (): number => Date.now() + aheadMs;
  return { gate: clientGate({ key: by, wallMs, randomBytes }) };
}

async function logIn(
  by: AdmissionKey = key,
): Promise<{ client: Endpoint; connection: Connection }> {
  const deadlineMs = performance.now() + 20_000;
  for (;;) {
    const client = await stage.client(tagged(by));
    try {
      const { login, connection, failure } = await stage.login(address(machine), { client });
      if (login !== undefined) return { client, connection };
      throw failure ?? new Error("Neither login nor failure");
    } catch (error) {
      // One piece of evidence a second, and a new link is not there at once.
      if (performance.now() > deadlineMs) throw error;
      await Bun.sleep(100);
    }
  }
}

async function statusOf(connection: Connection): Promise<Status> {
  const frames = new FrameStream(await connection.openStream());
  return request(frames, { type: "status" }, statusSchema);
}

async function runtimeOf(connection: Connection): Promise<string> {
  return (await statusOf(connection)).runtime;
}

/** How many datagrams came back to a client that tried for so long at most, and what it sent. */
async function answersTo(
  options: Partial<EndpointOptions>,
  of = machine,
  timeoutMs = 300,
): Promise<{ answers: number; sent: Uint8Array[] }> {
  let answers = 0;
  const sent: Uint8Array[] = [];
  const openCarrier: OpenCarrier = async (bind, receive) => {
    const real = await openUdp(bind, (...given) => {
      answers++;
      receive(...given);
    });
    const send: typeof real.send = (batch) => {
      for (let index = 0; index < batch.count; index++) sent.push(batch.datagram(index).slice());
      return real.send(batch);
    };
    return { address: real.address, send, close: () => real.close() };
  };
  const client = await stage.client({ ...options, openCarrier });
  const outcome = await client.connect(address(of), { timeoutMs }).catch((error) => error);
  if (answers === 0) expect(outcome).toBeInstanceOf(ConnectionClosed);
  await client.close();
  return { answers, sent };
}

async function answersToRaw(datagrams: readonly Uint8Array[]): Promise<number> {
  let answers = 0;
  const data = (): void => void answers++;
  const socket = await Bun.udpSocket({ hostname: "127.0.0.1", socket: { data } });
  const { host, port } = address(machine);
  for (const datagram of datagrams) socket.send(datagram, port, host);
  await Bun.sleep(300);
  socket.close();
  return answers;
}

test("clients with the key get in, with that of the last epoch too; log and status say that it is on", async () => {
  for (const by of [key, newer]) {
    const { connection } = await logIn(by);
    const { runtime, ...status } = await statusOf(connection);
    expect(runtime).toBe("fallback-init");
    expect(status).toMatchObject({ admission: "on", admission_epochs: [4, 3] });
    connection.close(0, "");
  }
  expect(machine.log).toContain('"admission":"on, epoch 4 and 3"');
});

test("all others get not one datagram, and who is inside does not notice", async () => {
  const { connection } = await logIn();
  const first = await answersTo(tagged(), machine, 20_000);
  expect(first.answers).toBeGreaterThan(0);
  const strangers: Partial<EndpointOptions>[] = [
    {},
    tagged(foreign),
    tagged({ ...key, key: foreign.key }),
    tagged({ ...key, epoch: 5 }),
    tagged(key, -100_000),
    tagged(key, 100_000),
  ];
  for (const options of strangers) {
    const { answers, sent } = await answersTo(options);
    expect([answers, sent.length > 0]).toEqual([0, true]);
  }
  const tags = first.sent.filter((datagram) => datagram[0] === 0x0b);
  expect(tags.length).toBeGreaterThan(0);
  expect(await answersToRaw([...tags, ...tags])).toBe(0);
  expect(await runtimeOf(connection)).toBe("fallback-init");
  connection.close(0, "");
});

test("a client that changes its address stays connected", async () => {
  const { client, connection } = await logIn();
  await client.rebind();
  expect(await runtimeOf(connection)).toBe("fallback-init");
  connection.close(0, "");
});

test("after a link that died, the next one resets its clients at once and lets them in again", async () => {
  const { connection } = await logIn();
  const link = machine.linkPid();
  process.kill(link, "SIGKILL");
  await machine.untilNewLink(link);
  connection.ping?.();
  expect(await connection.closed).toMatchObject({ kind: "transport", code: 0 });
  const again = await logIn();
  expect(await runtimeOf(again.connection)).toBe("fallback-init");
  again.connection.close(0, "");
});

test("the key is in no environment, argument or log, nor in the workload's sight", async () => {
  const { stdout } = await machine.shell("cat /proc/*/environ /proc/*/cmdline 2>/dev/null; env");
  const seen = [machine.pid, ...machine.descendants()].flatMap((pid) =>
    ["environ", "cmdline"].map((file) => Buffer.from(textOf(`/proc/${pid}/${file}`))),
  );
  for (const one of [key, newer]) {
    const written = formatAdmissionKey(one).slice(-43);
    for (const bytes of [...seen, Buffer.from(stdout), Buffer.from(machine.log)])
      expect(secretTraces(bytes, written, "dev-vaults")).toEqual([]);
  }
});

test.each([
  ["nonsense", "fva1_0_nonsense", "is not fva1_EPOCH_MACHINE_KEY"],
  ["an empty one", "", "is not fva1_EPOCH_MACHINE_KEY"],
  ["another machine's", formatAdmissionKey(foreign), "it is of machine 148e21ea7e46e9"],
])("with a key of no use (%s) nobody gets in, and the log says why", async (_, unusable, why) => {
  await using closed = await TestMachine.boot({
    env: { ACCESS_TOKEN: weakToken, VAULT_ADMISSION_KEY: unusable },
  });
  await closed.untilLogged('"admission":"nobody"');
  expect(closed.log).toContain('"event":"nobody-admitted"');
  expect(closed.log).toContain(why);
  expect((await closed.status()).admission).toBe("nobody");
  for (const options of [{}, tagged(), tagged(foreign)])
    expect((await answersTo(options, closed)).answers).toBe(0);
  expect((await closed.run(["true"])).exit).toEqual({ code: 0 });
});

test("without a key everything is as it was; a client that has one is not understood", async () => {
  await using open = await TestMachine.boot({ env: { ACCESS_TOKEN: weakToken } });
  await open.untilLogged('"admission":"off"');
  const { admission, admission_epochs: epochs } = await open.status();
  expect([admission, epochs]).toEqual(["off", undefined]);
  expect((await answersTo({}, open, 20_000)).answers).toBeGreaterThan(0);
  expect((await answersTo(tagged(), open)).answers).toBe(0);
});

test("the keys on their way to the link: as before without admission, else with members to spare", () => {
  const connectionIds = new Uint8Array(32).fill(1);
  for (const login of [undefined, new Uint8Array(32).fill(2)]) {
    const bare = encodeLinkKeys({ connectionIds, login, admission: undefined });
    expect(bare).toHaveLength(login === undefined ? 32 : 64);
    for (const admission of [undefined, [], [key], [newer, key]]) {
      const keys = { connectionIds, login, admission };
      expect(decodeLinkKeys(encodeLinkKeys(keys))).toEqual(keys);
    }
  }
  const keys = { connectionIds, login: undefined, admission: [key] };
  const later = { ...JSON.parse(Buffer.from(encodeLinkKeys(keys)).toString()), later: 1 };
  expect(decodeLinkKeys(Buffer.from(JSON.stringify(later)))).toEqual(keys);
  for (const damaged of [{ ...later, admission: "x" }, { ...later, connectionIds: "x" }, {}])
    expect(() => decodeLinkKeys(Buffer.from(JSON.stringify(damaged)))).toThrow();
});
