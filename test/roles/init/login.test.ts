import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { MintError } from "../../../src/fly/evidence.ts";
import { encodeLoginMessage, LoginMessageDecoder } from "../../../src/protocol/login-message.ts";
import type { ByteStream } from "../../../src/protocol/byte-stream.ts";
import { closeCodes, type CloseReason, type Connection } from "../../../src/quic/connection.ts";
import { loginLimits } from "../../../src/roles/init/login-limits.ts";
import { LoginStage, type StageMachine } from "../../support/login-stage.ts";

/** acceptLogin against clients that are wrong, slow or many, over real QUIC. */

const hello = encodeLoginMessage({
  kind: "hello",
  version: 1,
  nonce: new Uint8Array(32).fill(3),
  features: 0,
});
const never = new Promise<void>(() => undefined);
const wrongProof = encodeLoginMessage({ kind: "proof", proof: new Uint8Array(32) });

let stage: LoginStage;
beforeEach(async () => {
  stage = await LoginStage.open();
});
afterEach(async () => {
  await stage.close();
});

async function dial(
  machine: StageMachine,
): Promise<{ connection: Connection; stream: ByteStream }> {
  const endpoint = await stage.client();
  const connection = await endpoint.connect(machine.address, { timeoutMs: 20_000 });
  return { connection, stream: await connection.openStream() };
}

async function readUntil(stream: ByteStream, kind: "evidence" | "accept"): Promise<void> {
  const decoder = new LoginMessageDecoder(["evidence", "accept"]);
  for (;;) {
    const bytes = await stream.read();
    if (bytes === null) throw new Error("The stream ended");
    if (decoder.push(bytes).some((message) => message.kind === kind)) return;
  }
}

/** Says these bytes, then what the machine does about it, and how long it took. */
async function answerTo(
  machine: StageMachine,
  ...says: readonly Uint8Array[]
): Promise<{ reason: CloseReason; afterMs: number }> {
  const { connection, stream } = await dial(machine);
  const startMs = performance.now();
  for (const bytes of says) await stream.write(bytes);
  const reason = await connection.closed;
  return { reason, afterMs: performance.now() - startMs };
}

const loginFailed = { kind: "peer-application", code: closeCodes.loginFailed, reason: "" };

describe("a wrong client is told one thing", () => {
  const sayings: Record<string, [Uint8Array[], string]> = {
    "a message that is none": [[Uint8Array.of(0xff, 0, 0, 1, 0)], "malformed"],
    "PROOF first": [[wrongProof], "wrong-order"],
    "HELLO twice": [[new Uint8Array(Buffer.concat([hello, hello]))], "wrong-order"],
    "HELLO of 36 bytes": [[Uint8Array.of(1, 0, 0, 36)], "malformed"],
    "a request of the protocol after login": [
      [Uint8Array.of(1, 0, 0, 0, 2, 0x7b, 0x7d)],
      "malformed",
    ],
  };
  for (const [name, [says, cause]] of Object.entries(sayings)) {
    test(name, async () => {
      const machine = await stage.machine();
      const { reason } = await answerTo(machine, ...says);
      expect(reason as unknown).toEqual(loginFailed);
      await machine.settled(1);
      expect(machine.gate.counts()).toEqual({ accepted: 0, refused: { [cause]: 1 } });
      expect(machine.logins).toEqual([undefined]);
      // Evidence is not for those who cannot even say hello.
      expect(machine.evidence).toHaveLength(cause === "wrong-order" && says[0] === hello ? 1 : 0);
    });
  }

  test("HELLO and then the end of the stream", async () => {
    const machine = await stage.machine();
    const { connection, stream } = await dial(machine);
    await stream.write(hello);
    await stream.end();
    expect((await connection.closed) as unknown).toEqual(loginFailed);
  });

  test("a wrong proof, in a slot of 250 ms, and never a second one", async () => {
    const machine = await stage.machine();
    const { connection, stream } = await dial(machine);
    await stream.write(hello);
    await readUntil(stream, "evidence");
    const startMs = performance.now();
    await stream.write(wrongProof);
    expect((await connection.closed) as unknown).toEqual(loginFailed);
    const afterMs = performance.now() - startMs;
    expect(afterMs).toBeGreaterThan(loginLimits.refusalSlotMs - 5);
    expect(afterMs).toBeLessThan(5000);
    await machine.settled(1);
    expect(machine.gate.counts().refused).toEqual({ "wrong-proof": 1 });
  });
});

describe("time", () => {
  test("without a stream, or without HELLO, it is over after 3 s", async () => {
    const machine = await stage.machine();
    const endpoint = await stage.client();
    const startMs = performance.now();
    const silent = await endpoint.connect(machine.address, { timeoutMs: 20_000 });
    const halfway = answerTo(machine, hello.subarray(0, 10));
    expect((await silent.closed) as unknown).toEqual(loginFailed);
    expect(performance.now() - startMs).toBeGreaterThan(2990);
    expect((await halfway).reason as unknown).toEqual(loginFailed);
    await machine.settled(2);
    expect(machine.gate.counts().refused).toEqual({ "hello-timeout": 2 });
  });
});

describe("evidence", () => {
  test("that cannot be had is said to be unavailable, and no more", async () => {
    const error = new MintError("/.fly/api answered 500 with a secret");
    const machine = await stage.machine({ mint: () => Promise.reject(error) });
    const { reason } = await answerTo(machine, hello);
    expect(reason as unknown).toEqual({
      kind: "peer-application",
      code: closeCodes.attestationUnavailable,
      reason: "",
    });
    const { failure } = await stage.login(machine.address);
    expect(failure).toMatchObject({ code: "FV-ATT-008", exitCode: 6, retryable: true });
  });

  test("that Fly would give a second later is asked for again", async () => {
    let calls = 0;
    const machine = await stage.machine({
      mint: () => {
        calls += 1;
        return Promise.reject(new MintError("/.fly/api answered 429", true));
      },
    });
    const startMs = performance.now();
    const { reason } = await answerTo(machine, hello);
    expect(reason).toMatchObject({ code: closeCodes.busy, reason: "retry-after-ms=1000" });
    expect(calls).toBe(loginLimits.mintTriesMax);
    expect(performance.now() - startMs).toBeGreaterThan(2 * loginLimits.mintEveryMs - 50);
  });

  test("that fails for a reason of our own is not said to the client", async () => {
    const error = new TypeError("a mistake");
    const machine = await stage.machine({ mint: () => Promise.reject(error) });
    const { reason } = await answerTo(machine, hello);
    expect(reason).toMatchObject({ code: closeCodes.busy, reason: "retry-after-ms=1000" });
    await machine.settled(1);
    expect(machine.gate.counts().refused).toEqual({ internal: 1 });
  });

  test("is asked for anew at every connection", async () => {
    const machine = await stage.machine();
    for (let turn = 0; turn < 3; turn += 1)
      expect((await stage.login(machine.address)).failure).toBeUndefined();
    const texts = machine.evidence.map((each) => new TextDecoder().decode(each));
    expect(new Set(texts).size).toBe(3);
  });

  test("is not asked for by those who left while they waited", async () => {
    const machine = await stage.machine();
    for (let turn = 0; turn < 3; turn += 1) await machine.gate.budget.take(never);
    const { connection, stream } = await dial(machine);
    await stream.write(hello);
    await Bun.sleep(50);
    connection.close(0, "");
    await machine.settled(1);
    expect(machine.evidence).toHaveLength(0);
    expect(machine.gate.counts().refused["connection-lost"]).toBe(1);
  });
});

test("a machine that cannot say how it is does not blame the token", async () => {
  const machine = await stage.machine({ status: () => Promise.reject(new Error("no keeper")) });
  const { failure } = await stage.login(machine.address);
  expect(failure).toMatchObject({ code: "FV-NET-004", exitCode: 6, retryable: true });
  await machine.settled(1);
  expect(machine.gate.counts().refused).toEqual({ "not-ready": 1 });
});

test("the twelfth of twelve at once is told BUSY and when to come back", async () => {
  // Where no time passes nobody's turn comes.
  const machine = await stage.machine({ monotonicMs: () => 1000 });
  const dialled = await Promise.all(Array.from({ length: 3 }, () => dial(machine)));
  for (const { stream } of dialled) {
    await stream.write(hello);
    await readUntil(stream, "evidence");
  }
  for (let index = 0; index < 8; index += 1) void machine.gate.budget.take(never);
  const { failure } = await stage.login(machine.address);
  expect(failure).toMatchObject({ code: "FV-NET-004", exitCode: 6, retryable: true });
  expect(failure?.retryAfterMs).toBeGreaterThan(7000);
  expect(failure?.retryAfterMs).toBeLessThan(10_000);
  for (const { connection } of dialled) connection.close(0, "");
});

test("more than 64 connections before login are told BUSY at once", async () => {
  const machine = await stage.machine();
  const endpoint = await stage.client();
  const connect = () => endpoint.connect(machine.address, { timeoutMs: 20_000 });
  const open: Connection[] = [];
  // Some at once: all must be there before the first has been silent for too long.
  while (open.length < loginLimits.pendingMax)
    open.push(...(await Promise.all(Array.from({ length: 16 }, connect))));
  const { failure } = await stage.login(machine.address);
  expect(failure?.code).toBe("FV-NET-004");
  expect(machine.gate.counts().refused).toEqual({ crowded: 1 });
  for (const connection of open) connection.close(0, "");
  await machine.settled(loginLimits.pendingMax + 1);
  expect((await stage.login(machine.address)).failure).toBeUndefined();
});

test("at most 64 refusals wait for their slot; the log has one line a second", async () => {
  const machine = await stage.machine();
  const startMs = performance.now();
  const waits = Array.from({ length: loginLimits.refusalsMax }, () =>
    machine.gate.padRefusal(startMs),
  );
  const first = [
    machine.gate.padRefusal(startMs).then(() => "beyond"),
    ...waits.map((wait) => wait.then(() => "in its slot")),
  ];
  expect(await Promise.race(first)).toBe("beyond");
  await Promise.all(waits);
  expect(performance.now() - startMs).toBeGreaterThan(loginLimits.refusalSlotMs - 5);

  for (let index = 0; index < 100; index += 1)
    machine.gate.countRefused("malformed", "words", "127.0.0.1:1");
  expect(machine.lines).toHaveLength(1);
  expect(machine.gate.counts().refused).toEqual({ malformed: 100 });
});

test("streams beside the login's are not read before ACCEPT", async () => {
  const machine = await stage.machine();
  const { connection, stream } = await dial(machine);
  await stream.write(hello.subarray(0, 5));
  const other = await connection.openStream();
  let written = 0;
  const flood = (async () => {
    for (;;) {
      await other.write(new Uint8Array(4096));
      written += 4096;
    }
  })().catch(() => undefined);
  await connection.closed;
  await flood;
  // What a stranger can make the machine hold is bounded by the first windows of QUIC.
  expect(written).toBeLessThan(1024 * 1024);
});
