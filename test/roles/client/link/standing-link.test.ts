import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "bun:test";
import { machineGate } from "../../../../src/quic/admission-gate.ts";
import { sealHint } from "../../../../src/quic/admission-hint.ts";
import { deriveAdmissionKey, formatAdmissionKey } from "../../../../src/quic/admission-key.ts";
import { main } from "../../../../src/roles/client/main.ts";
import { memoryContext } from "../../../support/memory-context.ts";
import { TestVault } from "../../../support/test-vault.ts";
import { WebBridge } from "../../../support/web-bridge.ts";

/** A session whose proxy goes away under it. What was typed before and after must come back once. */

const key = deriveAdmissionKey(new Uint8Array(32).fill(1), 1, "148e21ea7e46e8");
let vault: TestVault;
let bridge: WebBridge;
let session: Session;

beforeAll(async () => {
  vault = await TestVault.open();
  await vault.restartLink(0, machineGate([key], Date.now));
});
afterAll(async () => {
  await vault.close();
});
beforeEach(async () => {
  const [host = "", port = ""] = vault.address.split(":");
  bridge = new WebBridge({ host, port: Number(port) });
  await vault.configure({
    admission_key: formatAdmissionKey(key),
    web_address: bridge.url,
    transport: "tcp",
  });
  vault.forgetConnections();
  session = new Session();
  await session.echo("first");
});
afterEach(async () => {
  await session.end();
  await bridge[Symbol.asyncDispose]();
});

/** `exec cat`, typed into and read from here. */
class Session {
  /** From the bridge to the client, by its newest WebSocket. */
  answer: (bytes: Uint8Array) => void = () => undefined;
  readonly #typed: Uint8Array[] = [];
  #more = Promise.withResolvers<void>();
  #isOver = false;
  readonly #context = memoryContext({ env: vault.env, stdin: this.#input() });
  readonly #running: Promise<number>;

  constructor() {
    bridge.onDatagram = (_, reply) => {
      this.answer = reply;
      return false;
    };
    this.#running = main(["exec", "dev", "cat"], this.#context);
  }

  async echo(word: string): Promise<void> {
    this.#typed.push(new TextEncoder().encode(`${word}\n`));
    this.#more.resolve();
    const deadlineMs = performance.now() + 10_000;
    while (!this.#context.out().endsWith(`${word}\n`)) {
      if (performance.now() > deadlineMs)
        throw new Error(`No ${word}: ${this.#context.out()} ${this.#context.err()}`);
      await Bun.sleep(2);
    }
  }

  async end(): Promise<void> {
    this.#isOver = true;
    this.#more.resolve();
    expect(await this.#running).toBe(0);
    expect(this.#context.err()).toBe("");
  }

  async *#input(): AsyncGenerator<Uint8Array> {
    for (;;) {
      yield* this.#typed.splice(0);
      if (this.#isOver) return;
      await this.#more.promise;
      this.#more = Promise.withResolvers();
    }
  }
}

function draining(): void {
  const timeS = Math.floor(Date.now() / 1000);
  session.answer(sealHint(key, { state: "draining", timeS, tagStart: new Uint8Array(8) }));
}

async function until(holds: () => boolean): Promise<void> {
  const deadlineMs = performance.now() + 10_000;
  while (!holds() && performance.now() < deadlineMs) await Bun.sleep(2);
  expect(holds()).toBe(true);
}

test("a proxy that goes is left for the next one at once, without another login", async () => {
  draining();
  await until(() => bridge.opened === 2);
  await session.echo("second");
  // Said again, it is not done again so soon.
  draining();
  await session.echo("third");
  await until(() => bridge.connectionCount === 1);
  expect([bridge.opened, vault.connectionCount]).toEqual([2, 1]);
});

test("a WebSocket that breaks is replaced the first time; the second time there is a new login", async () => {
  bridge.closeAll(1012);
  await until(() => bridge.opened === 2);
  await session.echo("second");
  expect(vault.connectionCount).toBe(1);
  bridge.closeAll(1001);
  await session.echo("third");
  expect([bridge.opened, vault.connectionCount]).toEqual([3, 2]);
});

test("a proxy that lets nobody in any more is dialled until there is one that does", async () => {
  bridge.refusesWith = 503;
  bridge.closeAll(1012);
  await until(() => bridge.refused > 0);
  bridge.refusesWith = undefined;
  await session.echo("second");
  expect(vault.connectionCount).toBe(2);
});

test("a hint of somebody without the key moves nothing", async () => {
  const foreign = { key: new Uint8Array(32) };
  const timeS = Math.floor(Date.now() / 1000);
  session.answer(sealHint(foreign, { state: "draining", timeS, tagStart: new Uint8Array(8) }));
  const old = { state: "draining", timeS: timeS - 91, tagStart: new Uint8Array(8) } as const;
  session.answer(sealHint(key, old));
  await session.echo("second");
  expect(bridge.opened).toBe(1);
});
