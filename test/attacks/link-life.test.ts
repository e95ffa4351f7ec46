import type { Connection } from "../../src/quic/connection.ts";
import { afterEach, beforeEach, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { limits } from "../../src/protocol/limits.ts";
import { encodeJson } from "../../src/protocol/message.ts";
import { quicLimits } from "../../src/quic/limits.ts";
import { frameTypes } from "../../src/protocol/frame.ts";
import { secretTraces } from "../support/secret-traces.ts";
import { weakToken } from "../support/login-stage.ts";
import { AttackStage, openFrames } from "./stage.ts";

setDefaultTimeout(120_000);

/** The process that faces the network: it never outlives its keeper, and its clients are told of its end. */
let stage: AttackStage;
beforeEach(async () => {
  stage = await AttackStage.open();
});
afterEach(async () => {
  await stage.close();
});

function isRunning(pid: number): boolean {
  // A zombie that nobody has collected has ended all the same.
  return existsSync(`/proc/${pid}`) && !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
}

async function expectGone(pid: number): Promise<void> {
  const startMs = performance.now();
  while (isRunning(pid) && performance.now() - startMs < 30_000) await Bun.sleep(5);
  expect(isRunning(pid)).toBeFalse();
}

test("a keeper killed with -9 takes its link along, the first and a later one", async () => {
  const first = stage.machine.linkPid();
  process.kill(first, "SIGKILL");
  await stage.machine.untilNewLink(first);
  const second = stage.machine.linkPid();
  await stage.machine.kill();
  await expectGone(second);
  await stage.machine.start();
  const third = stage.machine.linkPid();
  await stage.machine.kill();
  // Most likely before it listens, or has even asked to be told of the keeper's end.
  await expectGone(third);
});

test("the client of a link that was killed is told by the next one, and does not wait for silence", async () => {
  const connection = await stage.logIn();
  const link = stage.machine.linkPid();
  process.kill(link, "SIGKILL");
  await stage.machine.untilNewLink(link);
  const startMs = performance.now();
  // Whatever is sent is answered by the reset; a probe sent meanwhile may have been answered already.
  const asked = ask(connection).catch((error: unknown) => error);
  const reason = await connection.closed;
  await asked;
  expect(reason).toMatchObject({ kind: "transport", code: 0 });
  // One round trip, or the next probe of a packet that fell into the gap; silence is borne far longer.
  expect(performance.now() - startMs).toBeLessThan(quicLimits.idleMs / 2);
});

test("a client whose link is killed while Fly is asked for evidence is told, too", async () => {
  const { promise, resolve: answer } = Promise.withResolvers<void>();
  stage.evidenceHeld = promise;
  const login = stage.login.login(stage.address);
  while (stage.apiRequests.length === 0) await Bun.sleep(5);
  const link = stage.machine.linkPid();
  process.kill(link, "SIGKILL");
  await stage.machine.untilNewLink(link);
  const startMs = performance.now();
  const { failure } = await login;
  expect(failure?.code).toBe("FV-NET-003");
  expect(failure?.retryable).toBe(true);
  // It asks for a sign of life every second. Evidence is waited for ten times as long.
  expect(performance.now() - startMs).toBeLessThan(limits.evidenceWaitMs - 1000);
  answer();
});

test("arguments and environment of the link hold no secret, and it goes before any shell", () => {
  const pid = stage.machine.linkPid();
  const words = ["cmdline", "environ"].map((name) => readFileSync(`/proc/${pid}/${name}`, "utf8"));
  const text = words.join("\n");
  expect(text).toContain('"keeperSocket"');
  expect(secretTraces(Buffer.from(text), weakToken, "dev-vaults")).toEqual([]);
  expect(text).not.toMatch(/[0-9a-f]{32}|VAULT_LOGIN_KEY|ACCESS_TOKEN/);
  expect(readFileSync(`/proc/${pid}/limits`, "utf8")).toMatch(/^Max core file size\s+0\s/m);
  expect(readFileSync(`/proc/${pid}/oom_score_adj`, "utf8").trim()).toBe("0");
});

async function ask(connection: Connection): Promise<void> {
  const frames = await openFrames(connection);
  await frames.write(frameTypes.request, encodeJson({ type: "status" }));
}
