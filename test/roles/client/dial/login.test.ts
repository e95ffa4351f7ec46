import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { chmod } from "node:fs/promises";
import { renderFailure } from "../../../../src/cli/failure.ts";
import { generateToken } from "../../../../src/fly/token.ts";
import { encodeLoginMessage } from "../../../../src/protocol/login-message.ts";
import { closeCodes } from "../../../../src/quic/connection.ts";
import { KnownMachines } from "../../../../src/roles/client/vault/known-machines.ts";
import { Attacker } from "../../../support/attacker.ts";
import { LoginStage, weakToken } from "../../../support/login-stage.ts";

let stage: LoginStage;
beforeEach(async () => {
  stage = await LoginStage.open();
});
afterEach(async () => {
  await stage.close();
});

describe("performLogin", () => {
  test("and acceptLogin agree over real QUIC", async () => {
    const machine = await stage.machine();
    const { login, failure, recording, firstUses } = await stage.login(machine.address);
    expect(failure).toBeUndefined();
    expect(login).toMatchObject({
      version: 1,
      machine: { machineId: "148e21ea7e46e8", appName: "dev-vaults", region: "ord" },
      status: { vm_state: "ready", protocol_oldest: 1, protocol_newest: 1 },
    });
    await machine.settled(1);
    expect(machine.logins).toEqual([
      { version: 1, features: { version: 1, client: 0, server: 0 } },
    ]);
    expect(machine.gate.counts()).toEqual({ accepted: 1, refused: {} });
    // HELLO and PROOF, nothing else. A machine in the configuration needs no first use.
    expect(recording.sent().length).toBe(4 + 37 + 4 + 32);
    expect(Buffer.from(recording.sent()).includes(weakToken)).toBe(false);
    expect(firstUses).toBe(0);
  });

  test("streams of the session come after, on the same connection", async () => {
    const machine = await stage.machine();
    const { login, connection } = await stage.login(machine.address);
    expect(login).toBeDefined();
    const stream = await connection.openStream();
    await stream.write(Uint8Array.of(1));
    await stream.end();
  });

  test("takes a token of ours as well as any other words", async () => {
    const token = generateToken(new Uint8Array(32).fill(9));
    const machine = await stage.machine({ token });
    expect((await stage.login(machine.address, { accessToken: token })).failure).toBeUndefined();
  });

  test("says that the machine refused the token, and that it was the right machine", async () => {
    const machine = await stage.machine({ token: "another" });
    const { failure } = await stage.login(machine.address);
    expect(failure).toMatchObject({ code: "FV-AUTH-001", exitCode: 4, retryable: false });
    expect(failure === undefined ? "" : renderFailure(failure)).not.toContain(weakToken);
  });

  for (const [name, accessToken, code, exitCode] of [
    ["an empty token", "", "FV-CFG-008", 4],
    ["a mistyped token", "fvt1_short", "FV-CFG-004", 2],
  ] as const) {
    test(`says of ${name} that it is one, before anything is sent`, async () => {
      const machine = await stage.machine();
      const { failure, recording } = await stage.login(machine.address, { accessToken });
      expect(failure).toMatchObject({ code, exitCode, retryable: false });
      expect(failure === undefined ? "" : renderFailure(failure)).not.toContain("fvt1_short");
      expect(recording.opened()).toBe(0);
    });
  }

  test("says that the keys of Fly could not be had, and that trying again may help", async () => {
    const machine = await stage.machine();
    stage.issuer.answer = () => new Response("down", { status: 503 });
    const { failure, recording } = await stage.login(machine.address);
    expect(failure).toMatchObject({ code: "FV-ATT-005", exitCode: 6, retryable: true });
    expect(recording.sent().length).toBe(4 + 37);
    stage.issuer.answer = undefined;
    expect((await stage.login(machine.address)).failure).toBeUndefined();
  });

  test("stops at an image that is not on the list", async () => {
    const machine = await stage.machine();
    const { failure } = await stage.login(machine.address, { imageDigests: ["sha256:other"] });
    expect(failure).toMatchObject({ code: "FV-ATT-009", exitCode: 5, retryable: false });
    const listed = await stage.login(machine.address, { imageDigests: ["sha256:9c1f"] });
    expect(listed.failure).toBeUndefined();
  });
});

describe("first use", () => {
  const vault = { name: "first", machineId: undefined };

  test("is remembered, shown once, and later logins find the same machine", async () => {
    const machine = await stage.machine();
    expect((await stage.login(machine.address, vault)).firstUses).toBe(1);
    expect((await stage.login(machine.address, vault)).firstUses).toBe(0);
    expect(await new KnownMachines(stage.stateDir).read("first")).toMatchObject({
      machineId: "148e21ea7e46e8",
      appId: "22",
      orgId: "11",
    });
  });

  test("app ids are remembered too: a name given anew is another app", async () => {
    const machine = await stage.machine();
    await stage.login(machine.address, vault);
    const reborn = await stage.machine({ claims: { appId: "23" } });
    const { failure } = await stage.login(reborn.address, vault);
    expect(failure).toMatchObject({ code: "FV-ATT-004", exitCode: 5, retryable: false });
    expect(failure?.message).toContain("possible interception");
  });

  test("is forgotten for another app of the configuration, which its owner wrote", async () => {
    const machine = await stage.machine();
    await stage.login(machine.address, vault);
    const claims = { app: "other", machineId: "3d8d377ce9e398" };
    const other = await stage.machine({ claims });
    const moved = await stage.login(other.address, { ...vault, app: "other" });
    expect(moved.failure).toBeUndefined();
    expect(moved.firstUses).toBe(1);
  });

  test("a machine set in the configuration is taken at its word", async () => {
    const machine = await stage.machine();
    await stage.login(machine.address, vault);
    const other = await stage.machine({ claims: { machineId: "3d8d377ce9e398" } });
    const pinned = { ...vault, machineId: "3d8d377ce9e398" };
    expect((await stage.login(other.address, pinned)).failure).toBeUndefined();
  });

  test("a damaged record stops the login before it starts", async () => {
    const machine = await stage.machine();
    await stage.login(machine.address, vault);
    await chmod(new KnownMachines(stage.stateDir).path("first"), 0o666);
    const { failure, recording } = await stage.login(machine.address, vault);
    expect(failure).toMatchObject({ code: "FV-SYS-001", retryable: false });
    expect(recording.opened()).toBe(0);
  });
});

describe("a machine that gives up", () => {
  for (const [name, code, reason, is] of [
    ["BUSY", closeCodes.busy, "retry-after-ms=4200", { code: "FV-NET-004", retryAfterMs: 4200 }],
    [
      "BUSY with words",
      closeCodes.busy,
      "soon\u001b[2J",
      { code: "FV-NET-004", retryAfterMs: 1000 },
    ],
    ["no evidence", closeCodes.attestationUnavailable, "", { code: "FV-ATT-008" }],
    ["LOGIN_FAILED before PROOF", closeCodes.loginFailed, "", { code: "FV-NET-005" }],
    ["a code nobody knows", 99, "boo", { code: "FV-NET-005" }],
  ] as const) {
    test(`${name} is ${is.code}, exit 6, and may be tried again`, async () => {
      const evil = new Attacker(await stage.server());
      void evil.serve((_message, _stream, victim) => {
        victim.close(code, reason);
        return Promise.resolve();
      });
      const { failure } = await stage.login(evil.address);
      expect(failure).toMatchObject({ ...is, exitCode: 6, retryable: true });
      expect(failure === undefined ? "" : renderFailure(failure)).not.toContain("soon");
    });
  }

  test.each([closeCodes.done, closeCodes.shuttingDown])(
    "%i is a link that is lost, which Link.open tries again",
    async (code) => {
      const evil = new Attacker(await stage.server());
      void evil.serve((_message, _stream, victim) => {
        victim.close(code, "");
        return Promise.resolve();
      });
      const { failure } = await stage.login(evil.address);
      expect(failure).toMatchObject({ code: "FV-NET-003", exitCode: 255, retryable: true });
    },
  );

  test("VERSION names both ranges, and is not tried again", async () => {
    const evil = new Attacker(await stage.server());
    void evil.serve((_message, _stream, victim) => {
      victim.close(closeCodes.version, "versions=2-3");
      return Promise.resolve();
    });
    const { failure } = await stage.login(evil.address);
    expect(failure).toMatchObject({ code: "FV-VER-001", exitCode: 9, retryable: false });
    expect(failure?.because).toBe(
      "the machine speaks versions 2 to 3, this client versions 1 to 1",
    );
  });

  test("a stream that is reset, ended, or followed by silence is no login", async () => {
    const reset = new Attacker(await stage.server());
    void reset.serve((_message, stream) => {
      stream.abort(7);
      return Promise.resolve();
    });
    expect((await stage.login(reset.address)).failure?.code).toBe("FV-ATT-006");
    const ended = new Attacker(await stage.server());
    void ended.serve((_message, stream) => stream.end());
    expect((await stage.login(ended.address)).failure?.code).toBe("FV-ATT-006");
    const odd = new Attacker(await stage.server());
    const hello = { kind: "hello", version: 1, nonce: new Uint8Array(32), features: 0 } as const;
    void odd.serve((_message, stream) => stream.write(encodeLoginMessage(hello)));
    expect((await stage.login(odd.address)).failure?.code).toBe("FV-ATT-006");
  });

  test("silence ends after 10 s and may be tried again", async () => {
    const silent = new Attacker(await stage.server());
    void silent.serve(() => Promise.resolve());
    const startMs = performance.now();
    const { failure } = await stage.login(silent.address);
    expect(failure).toMatchObject({ code: "FV-NET-005", exitCode: 6, retryable: true });
    expect(performance.now() - startMs).toBeGreaterThan(9900);
  }, 120_000);
});
