import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { digests } from "../../src/fly/digests.ts";
import { deriveLoginKeys } from "../../src/fly/token.ts";
import { limits } from "../../src/protocol/limits.ts";
import { LoginClient, type LoginClientOutput } from "../../src/protocol/login-client.ts";
import { encodeLoginMessage } from "../../src/protocol/login-message.ts";
import { LoginServer, type LoginServerOutput } from "../../src/protocol/login-server.ts";
import type { Status } from "../../src/protocol/message.ts";
import { seeded } from "../support/seed.ts";

const channel = {
  alpn: "fly-vault/1",
  certificate: new Uint8Array(385).fill(7),
  binding: new Uint8Array(32).fill(8),
};
const machine = { appName: "dev-vaults", machineId: "148e21ea7e46e8" };
const keys = deriveLoginKeys("secret", machine.appName);
const versions = { oldest: 1, newest: 1 };
const jwt = new TextEncoder().encode("header.payload.signature");
const status: Status = {
  vm_state: "ready",
  runtime: "system-init",
  init_version: "0.1.0",
  protocol_oldest: 1,
  protocol_newest: 1,
};

describe("both ends together", () => {
  test("accept each other when everything fits", () => {
    const pair = new Pair();
    expect(pair.run()).toEqual({ client: "accepted", server: "accepted" });
    expect(pair.client.poll()).toMatchObject({ login: { version: 1, status } });
    // The audience the machine asked for is the one the client checks.
    expect(pair.minted).toBe(pair.verified);
  });

  test("accept each other however the bytes are cut", () => {
    const property = fc.property(fc.integer({ min: 1, max: 50 }), (sliceBytes) => {
      expect(new Pair({ sliceBytes }).run()).toEqual({ client: "accepted", server: "accepted" });
    });
    fc.assert(property, seeded(50));
  });

  test("differ in the audience when any part of the channel differs", () => {
    for (const other of [
      { ...channel, alpn: "h3" },
      { ...channel, certificate: new Uint8Array(385).fill(9) },
      { ...channel, binding: new Uint8Array(32).fill(9) },
    ]) {
      const pair = new Pair({ serverChannel: other });
      pair.run();
      expect(pair.minted).not.toBe(pair.verified);
    }
  });

  test("the proof does not fit another channel, even where evidence would have been believed", () => {
    const serverChannel = { ...channel, binding: new Uint8Array(32).fill(9) };
    expect(new Pair({ serverChannel }).run().server).toBe("wrong-proof");
  });

  test("a wrong token is a wrong proof, and the machine says nothing", () => {
    const pair = new Pair({ clientKeys: deriveLoginKeys("other", machine.appName) });
    expect(pair.run()).toEqual({ client: "wait", server: "wrong-proof" });
    expect(pair.serverSent).toBe(1);
  });

  test("a machine that does not know the token cannot accept", () => {
    const pair = new Pair();
    pair.run({ until: "proof" });
    const accept = encodeLoginMessage({
      kind: "accept",
      proof: new Uint8Array(32),
      parameters: new TextEncoder().encode(JSON.stringify(status)),
    });
    pair.client.receive(accept);
    expect(outcome(pair.client.poll())).toBe("server-proof");
  });

  test("features changed on the way break the proof", () => {
    const pair = new Pair();
    pair.changeHello = (hello) => {
      hello[hello.length - 1] = 1;
    };
    expect(pair.run().server).toBe("wrong-proof");
  });
});

describe("versions", () => {
  const cases = [
    { client: [1, 1], server: [1, 1], client_is: "accepted", server_is: "accepted", version: 1 },
    { client: [1, 3], server: [1, 2], client_is: "accepted", server_is: "accepted", version: 2 },
    { client: [1, 2], server: [1, 3], client_is: "accepted", server_is: "accepted", version: 2 },
    { client: [1, 1], server: [2, 3], client_is: "wait", server_is: "version", version: 0 },
    { client: [2, 3], server: [1, 1], client_is: "version", server_is: "accepted", version: 0 },
  ] as const;
  for (const { client, server, client_is, server_is, version } of cases) {
    test(`client ${client.join("-")}, machine ${server.join("-")}: ${client_is}`, () => {
      const pair = new Pair({
        clientVersions: { oldest: client[0], newest: client[1] },
        serverVersions: { oldest: server[0], newest: server[1] },
      });
      expect(pair.run()).toEqual({ client: client_is, server: server_is });
      if (version > 0) expect(pair.client.poll()).toMatchObject({ login: { version } });
    });
  }
});

describe("order", () => {
  const hello = encodeLoginMessage({
    kind: "hello",
    version: 1,
    nonce: new Uint8Array(32),
    features: 0,
  });
  const proof = encodeLoginMessage({ kind: "proof", proof: new Uint8Array(32) });

  test("the machine refuses PROOF first, HELLO twice, and bytes after PROOF", () => {
    const first = newServer();
    first.receive(proof);
    expect(outcome(first.poll())).toBe("wrong-order");

    const twice = newServer();
    twice.receive(Buffer.concat([hello, hello]));
    expect(outcome(twice.poll())).toBe("wrong-order");

    const pair = new Pair();
    pair.changeProof = (bytes) => Buffer.concat([bytes, Uint8Array.of(0x01)]);
    expect(pair.run().server).toBe("malformed");
  });

  test("PROOF together with HELLO cannot be right: it comes before there is anything to prove", () => {
    const early = newServer();
    early.receive(Buffer.concat([hello, proof]));
    expect(outcome(early.poll())).toBe("wrong-order");
  });

  test("the client refuses ACCEPT before PROOF, EVIDENCE twice, and bytes after ACCEPT", () => {
    const parameters = new TextEncoder().encode(JSON.stringify(status));
    const accept = encodeLoginMessage({ kind: "accept", proof: new Uint8Array(32), parameters });
    const evidence = encodeLoginMessage({
      kind: "evidence",
      nonce: new Uint8Array(32),
      features: 0,
      jwt,
    });
    const early = newClient();
    early.receive(accept);
    expect(outcome(drain(early))).toBe("wrong-order");
    const twice = newClient();
    twice.receive(Buffer.concat([evidence, evidence]));
    expect(outcome(drain(twice))).toBe("wrong-order");

    const pair = new Pair();
    pair.changeAccept = (bytes) => Buffer.concat([bytes, Uint8Array.of(0x04)]);
    expect(pair.run().client).toBe("malformed");
  });

  test("an end of stream in the middle is malformed", () => {
    const one = newServer();
    one.receiveEnd();
    expect(outcome(one.poll())).toBe("malformed");
    const other = newClient();
    other.receiveEnd();
    expect(outcome(drain(other))).toBe("malformed");
  });

  test("arbitrary bytes never lead to success and never throw", () => {
    const property = fc.property(
      fc.array(fc.uint8Array({ maxLength: 80 }), { maxLength: 4 }),
      (chunks) => {
        const one = newServer();
        const other = newClient();
        for (const chunk of chunks) {
          one.receive(chunk);
          other.receive(chunk);
        }
        expect(outcome(one.poll())).not.toBe("accepted");
        expect(outcome(drain(other))).not.toBe("accepted");
      },
    );
    fc.assert(property, seeded(1000));
  });
});

describe("deadlines", () => {
  test("the machine waits 3 s for HELLO", () => {
    const one = newServer();
    expect(one.poll()).toEqual({ kind: "wait", deadlineMs: 1000 + limits.helloWaitMs });
    one.receiveTime(1000 + limits.helloWaitMs - 1);
    expect(one.poll().kind).toBe("wait");
    one.receiveTime(1000 + limits.helloWaitMs);
    expect(outcome(one.poll())).toBe("hello-timeout");
  });

  test("the machine waits 10 s for PROOF", () => {
    const pair = new Pair();
    pair.run({ until: "evidence" });
    pair.server.receiveTime(1000 + limits.proofWaitMs - 1);
    expect(pair.server.poll().kind).toBe("wait");
    pair.server.receiveTime(1000 + limits.proofWaitMs);
    expect(outcome(pair.server.poll())).toBe("proof-timeout");
  });

  test("the whole login takes 20 s at most, evidence included", () => {
    const pair = new Pair({ mintMs: limits.loginMs - 1 });
    pair.run({ until: "evidence" });
    expect(pair.server.poll()).toEqual({ kind: "wait", deadlineMs: 1000 + limits.loginMs });
    pair.server.receiveTime(1000 + limits.loginMs);
    expect(outcome(pair.server.poll())).toBe("login-timeout");
  });

  test("the client waits 10 s for EVIDENCE and 10 s for ACCEPT", () => {
    const one = newClient();
    drain(one);
    one.receiveTime(1000 + limits.evidenceWaitMs);
    expect(outcome(one.poll())).toBe("evidence-timeout");

    const pair = new Pair();
    pair.run({ until: "proof" });
    pair.client.receiveTime(1000 + limits.acceptWaitMs);
    expect(outcome(pair.client.poll())).toBe("accept-timeout");
  });

  test("what failed stays failed", () => {
    const one = newServer();
    one.receiveTime(1000 + limits.helloWaitMs);
    one.receive(
      encodeLoginMessage({ kind: "hello", version: 1, nonce: channel.binding, features: 0 }),
    );
    expect(outcome(one.poll())).toBe("hello-timeout");
  });
});

test("LoginClient has no keys until the evidence was verified", () => {
  const one = newClient();
  drain(one);
  expect(() => one.prove(machine, keys, 1000)).toThrow(TypeError);
  expect(() => one.audience(machine)).toThrow(TypeError);
});

interface PairOptions {
  readonly clientKeys?: typeof keys;
  readonly serverChannel?: typeof channel;
  readonly clientVersions?: typeof versions;
  readonly serverVersions?: typeof versions;
  readonly sliceBytes?: number;
  readonly mintMs?: number;
}

/** Both ends in a box: no socket, no clock. */
class Pair {
  readonly client: LoginClient;
  readonly server: LoginServer;
  readonly #options: PairOptions;
  changeHello: (bytes: Uint8Array) => void = () => undefined;
  changeProof: (bytes: Uint8Array) => Uint8Array = (bytes) => bytes;
  changeAccept: (bytes: Uint8Array) => Uint8Array = (bytes) => bytes;
  minted = "";
  verified = "";
  clientSent = 0;
  serverSent = 0;

  constructor(options: PairOptions = {}) {
    this.#options = options;
    this.client = newClient(options.clientVersions);
    this.server = newServer(options.serverVersions, options.serverChannel);
  }

  /** Carries bytes to and fro until both wait, or the named message was sent. */
  run(options: { until?: "evidence" | "proof" } = {}): { client: string; server: string } {
    for (let turn = 0; turn < 100; turn += 1) {
      const moved = this.#moveClient() || this.#moveServer();
      if (options.until === "evidence" && this.serverSent === 1) break;
      if (options.until === "proof" && this.clientSent === 2) break;
      if (!moved) break;
    }
    return { client: outcome(this.client.poll()), server: outcome(this.server.poll()) };
  }

  #moveClient(): boolean {
    const output = this.client.poll();
    if (output.kind === "transmit") {
      this.clientSent += 1;
      if (this.clientSent === 1) this.changeHello(output.bytes);
      const bytes = this.clientSent === 2 ? this.changeProof(output.bytes) : output.bytes;
      if (this.clientSent === 1 || this.#options.sliceBytes === undefined)
        this.server.receive(bytes);
      else this.#sliced(bytes, (slice) => this.server.receive(slice));
      return true;
    }
    if (output.kind !== "verify") return false;
    this.verified = this.client.audience(machine);
    this.client.prove(machine, this.#options.clientKeys ?? keys, 1000);
    return true;
  }

  #moveServer(): boolean {
    const output = this.server.poll();
    switch (output.kind) {
      case "transmit":
        this.serverSent += 1;
        this.#sliced(
          this.serverSent === 2 ? this.changeAccept(output.bytes) : output.bytes,
          (slice) => this.client.receive(slice),
        );
        return true;
      case "mint":
        this.minted = output.audience;
        this.server.receiveEvidence(jwt, 1000 + (this.#options.mintMs ?? 0));
        return true;
      case "proven":
        this.server.accept(status);
        return true;
      case "wait":
      case "accepted":
      case "failed":
        return false;
    }
  }

  #sliced(bytes: Uint8Array, deliver: (slice: Uint8Array) => void): void {
    const length = this.#options.sliceBytes ?? bytes.length;
    for (let at = 0; at < bytes.length; at += length) deliver(bytes.subarray(at, at + length));
  }
}

function newClient(clientVersions = versions): LoginClient {
  const nonce = new Uint8Array(32).fill(1);
  return new LoginClient({
    channel,
    nonce,
    features: 0,
    versions: clientVersions,
    digests,
    nowMs: 1000,
  });
}

function newServer(serverVersions = versions, serverChannel = channel): LoginServer {
  return new LoginServer({
    channel: serverChannel,
    machine,
    keys,
    nonce: new Uint8Array(32).fill(2),
    features: 0,
    versions: serverVersions,
    digests,
    nowMs: 1000,
  });
}

function drain(login: LoginClient): LoginClientOutput {
  const output = login.poll();
  return output.kind === "transmit" ? login.poll() : output;
}

function outcome(output: LoginClientOutput | LoginServerOutput): string {
  return output.kind === "failed" ? output.cause : output.kind;
}
