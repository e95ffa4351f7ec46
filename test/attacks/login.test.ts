import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { digests } from "../../src/fly/digests.ts";
import type { ByteStream } from "../../src/protocol/byte-stream.ts";
import { encodeLoginMessage, type LoginMessage } from "../../src/protocol/login-message.ts";
import { alpn } from "../../src/protocol/limits.ts";
import { attestationAudience, attestationTranscript } from "../../src/protocol/transcript.ts";
import { selfSignedCertificate } from "../../src/quic/certificate.ts";
import type { Connection } from "../../src/quic/connection.ts";
import { Attacker, fetchEvidence, sendEvidence } from "../support/attacker.ts";
import { type LoginResult, LoginStage, readyStatus, weakToken } from "../support/login-stage.ts";
import {
  claimsOf,
  headerOf,
  issuerKey,
  type MachineClaims,
  signJwt,
} from "../support/oidc-issuer.ts";
import { secretTraces } from "../support/secret-traces.ts";

/** Header and body of HELLO: all that may ever reach somebody who is not attested. */
const helloBytes = 4 + 37;
const nonce = new Uint8Array(32).fill(5);
const attackersKey = issuerKey("stage-1");

let stage: LoginStage;
beforeAll(async () => {
  stage = await LoginStage.open();
});
afterAll(async () => {
  await stage.close();
});

/** What the attack must come to: the code, the exit code, no second try, and HELLO as the only word. */
async function expectStopped(
  result: LoginResult,
  attacker: Attacker | undefined,
  code: string,
  interception: boolean,
): Promise<void> {
  const { failure, recording, connection } = result;
  expect(failure?.code).toBe(code as never);
  expect(failure?.exitCode).toBe(5);
  expect(failure?.retryable).toBe(false);
  expect(failure?.message.startsWith("possible interception")).toBe(interception);
  expect(recording.sent().length).toBe(helloBytes);
  expect(recording.opened()).toBe(1);
  expect(secretTraces(recording.sent(), weakToken, "dev-vaults")).toEqual([]);
  expect((await connection.closed).kind).toBe("local");
  if (attacker === undefined) return;
  await Bun.sleep(20);
  expect(attacker.messages.map((message) => message.kind)).toEqual(["hello"]);
  expect(attacker.received()).toEqual(recording.sent());
  expect(secretTraces(attacker.received(), weakToken, "dev-vaults")).toEqual([]);
}

async function newAttacker(
  answer: (message: LoginMessage, stream: ByteStream, victim: Connection) => Promise<void>,
  identity = selfSignedCertificate(),
): Promise<Attacker> {
  const evil = new Attacker(await stage.server(identity));
  void evil.serve(answer);
  return evil;
}

/** The audience of the channel between victim and attacker, which the attacker knows as well. */
function audienceOf(victim: Connection, hello: LoginMessage, machine: MachineClaims = {}): string {
  const { app = "dev-vaults", machineId = "148e21ea7e46e8" } = machine;
  const channel = { alpn, certificate: victim.serverCertificate, binding: victim.channelBinding };
  const nonces = { client: hello.kind === "hello" ? hello.nonce : nonce, server: nonce };
  const name = { appName: app, machineId };
  return attestationAudience(attestationTranscript(channel, name, nonces, digests), digests);
}

describe("a relay with its own certificate", () => {
  test("that says nothing of worth: malformed evidence", async () => {
    const evil = await newAttacker((_message, stream) => sendEvidence(stream, "e30.e30.e30"));
    await expectStopped(await stage.login(evil.address), evil, "FV-ATT-006", false);
  });

  test("that signs evidence itself, under Fly's key id: no signature of Fly", async () => {
    const evil = await newAttacker((hello, stream, victim) => {
      const claims = claimsOf(stage.issuer.url(), audienceOf(victim, hello));
      return sendEvidence(stream, signJwt(attackersKey, claims));
    });
    await expectStopped(await stage.login(evil.address), evil, "FV-ATT-002", true);
  });

  test("that signs evidence with a key Fly does not list: no key of Fly", async () => {
    const evil = await newAttacker((hello, stream, victim) => {
      const claims = claimsOf(stage.issuer.url(), audienceOf(victim, hello));
      const header = { ...headerOf(attackersKey), kid: "evil-1" };
      return sendEvidence(stream, signJwt(attackersKey, claims, header));
    });
    await expectStopped(await stage.login(evil.address), evil, "FV-ATT-002", true);
  });

  test("that answers with ACCEPT at once: not a login", async () => {
    const parameters = new TextEncoder().encode(JSON.stringify(readyStatus));
    const evil = await newAttacker((_message, stream) =>
      stream.write(encodeLoginMessage({ kind: "accept", proof: nonce, parameters })),
    );
    await expectStopped(await stage.login(evil.address), evil, "FV-ATT-006", false);
  });
});

describe("a relay that forwards evidence of the real machine", () => {
  test("with the client's own nonce: evidence for another channel", async () => {
    const machine = await stage.machine();
    const onward = await stage.client();
    const evil = await newAttacker(async (hello, stream) => {
      await stream.write(encodeLoginMessage(await fetchEvidence(onward, machine.address, hello)));
    });
    const result = await stage.login(evil.address);
    // The machine was really asked, and really signed for: it just was not asked over this channel.
    expect(machine.evidence).toHaveLength(1);
    await expectStopped(result, evil, "FV-ATT-001", true);
  });

  test("and even holds the machine's TLS key: evidence for another channel", async () => {
    const machine = await stage.machine();
    const onward = await stage.client();
    const evil = await newAttacker(async (hello, stream) => {
      await stream.write(encodeLoginMessage(await fetchEvidence(onward, machine.address, hello)));
    }, machine.identity);
    const result = await stage.login(evil.address);
    expect(result.connection.serverCertificate).toEqual(machine.identity.certificateDer);
    await expectStopped(result, evil, "FV-ATT-001", true);
  });
});

describe("another machine of the same app, without the token", () => {
  const other = { machineId: "3d8d377ce9e398" };

  test("with evidence of its own for this channel: another machine", async () => {
    const evil = await newAttacker((hello, stream, victim) =>
      sendEvidence(stream, stage.issuer.sign(audienceOf(victim, hello, other), other)),
    );
    await expectStopped(await stage.login(evil.address), evil, "FV-ATT-003", false);
  });

  test("in the place of the machine of first use: not the one seen first", async () => {
    const machine = await stage.machine();
    const vault = { name: "remembered", machineId: undefined };
    const first = await stage.login(machine.address, vault);
    expect(first.login?.machine.machineId).toBe("148e21ea7e46e8");
    expect(first.firstUses).toBe(1);
    const evil = await newAttacker((hello, stream, victim) =>
      sendEvidence(stream, stage.issuer.sign(audienceOf(victim, hello, other), other)),
    );
    const result = await stage.login(evil.address, vault);
    expect(result.failure?.because).toContain("148e21ea7e46e8");
    expect(result.failure?.because).toContain("3d8d377ce9e398");
    await expectStopped(result, evil, "FV-ATT-004", true);
    // The record is as it was.
    expect((await stage.login(machine.address, vault)).firstUses).toBe(0);
  });

  test("on the very first use: it is proved to, cannot prove back, and is not remembered", async () => {
    const parameters = new TextEncoder().encode(JSON.stringify(readyStatus));
    const evil = await newAttacker((message, stream, victim) =>
      message.kind === "hello"
        ? sendEvidence(stream, stage.issuer.sign(audienceOf(victim, message, other), other))
        : stream.write(encodeLoginMessage({ kind: "accept", proof: nonce, parameters })),
    );
    const vault = { name: "first", machineId: undefined };
    const result = await stage.login(evil.address, vault);
    expect(result.failure?.code).toBe("FV-ATT-007");
    expect(result.failure?.exitCode).toBe(5);
    expect(result.failure?.retryable).toBe(false);
    expect(result.firstUses).toBe(0);
    expect(evil.messages.map((message) => message.kind)).toEqual(["hello", "proof"]);
    expect(secretTraces(evil.received(), weakToken, "dev-vaults")).toEqual([]);
    const machine = await stage.machine();
    expect((await stage.login(machine.address, vault)).firstUses).toBe(1);
  });
});

test("somebody inside the right machine, without the token, is found out by the second lock", async () => {
  // The guest reached /.fly/api and mints for any audience: attestation alone is broken.
  const parameters = new TextEncoder().encode(JSON.stringify(readyStatus));
  const evil = await newAttacker((message, stream, victim) =>
    message.kind === "hello"
      ? sendEvidence(stream, stage.issuer.sign(audienceOf(victim, message)))
      : stream.write(encodeLoginMessage({ kind: "accept", proof: nonce, parameters })),
  );
  const result = await stage.login(evil.address);
  expect(result.failure?.code).toBe("FV-ATT-007");
  expect(result.failure?.message).toStartWith("possible interception");
  expect(secretTraces(evil.received(), weakToken, "dev-vaults")).toEqual([]);
});

describe("replay", () => {
  test("of evidence recorded at an earlier login: for another channel", async () => {
    const machine = await stage.machine();
    expect((await stage.login(machine.address)).failure).toBeUndefined();
    const [recordedEvidence] = machine.evidence;
    const evil = await newAttacker((_message, stream) =>
      sendEvidence(stream, recordedEvidence ?? new Uint8Array(1)),
    );
    await expectStopped(await stage.login(evil.address), evil, "FV-ATT-001", true);
  });

  test("of yesterday's evidence, were it even for this channel: out of time", async () => {
    const [key] = stage.issuer.keys;
    const evil = await newAttacker((hello, stream, victim) => {
      const yesterdayMs = Date.now() - 86_400_000;
      const claims = claimsOf(stage.issuer.url(), audienceOf(victim, hello), {}, yesterdayMs);
      return sendEvidence(stream, signJwt(key ?? attackersKey, claims));
    });
    await expectStopped(await stage.login(evil.address), evil, "FV-ATT-006", false);
  });

  test("of a whole recorded login by a client: the machine refuses, after its 250 ms", async () => {
    const machine = await stage.machine();
    const honest = await stage.login(machine.address);
    const client = await stage.client();
    const connection = await client.connect(machine.address, { timeoutMs: 5000 });
    const stream = await connection.openStream();
    const said = honest.recording.sent();
    await stream.write(said.subarray(0, helloBytes));
    await stream.read();
    const startMs = performance.now();
    await stream.write(said.subarray(helloBytes));
    expect(await connection.closed).toMatchObject({
      kind: "peer-application",
      code: 1,
      reason: "",
    });
    expect(performance.now() - startMs).toBeGreaterThan(240);
    expect(machine.gate.counts().refused).toEqual({ "wrong-proof": 1 });
  });
});

describe("an honest machine, and a computer whose clock is wrong", () => {
  for (const [what, aheadMs] of Object.entries({ ahead: 600_000, behind: -600_000 })) {
    test(`ten minutes ${what}: out of time, and the clock is named`, async () => {
      const machine = await stage.machine();
      const result = await stage.login(machine.address, { aheadMs });
      await expectStopped(result, undefined, "FV-ATT-006", false);
      expect(result.failure?.because).toMatch(/ (59[89]|6[0-2]\d) s /);
      expect(result.failure?.fix).toContain("clock of this computer");
    });
  }
});

describe("an honest machine, but not the right one", () => {
  for (const [what, claims] of Object.entries({
    organisation: { org: "evil" },
    app: { app: "other-app" },
    machine: { machineId: "3d8d377ce9e398" },
  })) {
    test(`of another ${what}, even with the same token`, async () => {
      const machine = await stage.machine({ claims });
      const result = await stage.login(machine.address);
      await expectStopped(result, undefined, "FV-ATT-003", false);
      expect(result.failure?.fix).toContain("compare org, app, machine_id");
      expect(machine.gate.counts().accepted).toBe(0);
    });
  }

  test("of an organisation whose issuer has other keys", async () => {
    const claims = claimsOf("https://oidc.fly.io/evil", "x");
    const evil = await newAttacker((hello, stream, victim) => {
      const aud = audienceOf(victim, hello);
      const header = { ...headerOf(attackersKey), kid: "evils-key" };
      return sendEvidence(stream, signJwt(attackersKey, { ...claims, aud }, header));
    });
    await expectStopped(await stage.login(evil.address), evil, "FV-ATT-002", true);
  });
});
