import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { connectTcp, listenTcp } from "../../../../src/system/tcp-stream.ts";
import { RemoteError } from "../../../../src/protocol/errors.ts";
import { main } from "../../../../src/roles/client/main.ts";
import { memoryContext, type MemoryContext } from "../../../support/memory-context.ts";
import { rejection } from "../../../support/rejection.ts";
import { TestVault } from "../../../support/test-vault.ts";
import { answerTo, ask, DigestServer, run, until, whileRunning } from "./forward-stage.ts";
import { freePort } from "../../../support/free-port.ts";

setDefaultTimeout(120_000);

/** The vault runs right here: its loopback is ours. */
let vault: TestVault;
let target: DigestServer;

beforeAll(async () => {
  vault = await TestVault.open();
  target = await DigestServer.listen({ host: "127.0.0.1" });
});
afterAll(async () => {
  target.close();
  await vault.close();
});

const forwarding = (words: string[], work: (context: MemoryContext) => Promise<void>) =>
  whileRunning(["forward", "dev", ...words], vault.env, work);

test("connections in the vault come out here, each half ending by itself", async () => {
  const port = freePort();
  const { out, code } = await forwarding(["-R", `${port}:127.0.0.1:${target.port}`], async () => {
    const question = new Uint8Array(2_000_000).fill(9);
    const answers = await Promise.all(Array.from({ length: 10 }, () => ask(port, question)));
    for (const answer of answers) expect(answer).toBe(answerTo(question));
  });
  expect(out).toContain(`dev 127.0.0.1:${port} -> 127.0.0.1:${target.port}   up\n`);
  expect(code).toBe(130);
  await until(() => !isListening(port));
});

function isListening(port: number): boolean {
  try {
    listenTcp({ host: "127.0.0.1", port }, { onConnection: () => undefined }).close();
    return false;
  } catch {
    return true;
  }
}

test("port 0 is chosen by the vault, and kept over a lost link", async () => {
  let kept = 0;
  await forwarding(["-R", `0:127.0.0.1:${target.port}`], async (context) => {
    const port = Number(/dev 127\.0\.0\.1:(\d+) ->/.exec(context.out())?.[1]);
    expect(await ask(port, new Uint8Array(3))).toStartWith("3 ");
    kept = port;
    const restarting = vault.restartLink(400);
    // In between it is there too, and waits.
    await Bun.sleep(100);
    expect(await ask(port, new Uint8Array(4))).toStartWith("4 ");
    await restarting;
    await until(() => context.out().split("   up\n").length === 3);
    expect(context.out()).toContain(`dev 127.0.0.1:${port} -> 127.0.0.1:${target.port}   waiting`);
    expect(await ask(port, new Uint8Array(5))).toStartWith("5 ");
    expect(vault.requests.filter(({ type }) => type === "forward-listen")).not.toHaveLength(0);
  });
  // Also of the listener that was taken over the vault is told.
  await until(() => !isListening(kept));
});

test("one that is added while the link is down waits for the vault, and nobody for it", async () => {
  await forwarding(["0:localhost:1"], async (context) => {
    const restarting = vault.restartLink(600);
    await until(() => context.out().includes("waiting (link down)"));
    const spec = `0:127.0.0.1:${target.port}`;
    const added = await run(["forward", "add", "dev", "-R", spec], vault.env);
    expect(added).toMatchObject({ code: 0, err: "" });
    expect(added.out).toEndWith(`127.0.0.1:${target.port}   waiting\n`);
    await restarting;
    await until(() => /dev 127\.0\.0\.1:\d+ -> .* {3}up/.test(context.out()));
    const port = Number(/dev 127\.0\.0\.1:(\d+) -> .* {3}up/.exec(context.out())?.[1]);
    expect(await ask(port, new Uint8Array(3))).toStartWith("3 ");
  });
});

test("nothing listens here: the connection there is reset and one line says it", async () => {
  const closed = freePort();
  const { err } = await forwarding(["-R", `0:localhost:${closed}`], async (context) => {
    const port = Number(/dev 127\.0\.0\.1:(\d+) ->/.exec(context.out())?.[1]);
    for (let i = 0; i < 2; i++) {
      const stream = await connectTcp({ host: "127.0.0.1", port });
      expect(await rejection(stream.read())).toMatchObject({ kind: "reset" });
    }
  });
  expect(err.match(/nothing listens on localhost:\d+ here/g)).toHaveLength(1);
});

test("a Unix socket there, a socket here; what is there is never replaced", async () => {
  const there = join(vault.folder, "agent.sock");
  const here = join(vault.folder, "here.sock");
  const server = await DigestServer.listen({ path: here });
  await forwarding(["-R", `/agent.sock:${here}`], async () => {
    expect(await ask({ path: there }, new Uint8Array(7))).toStartWith("7 ");
  });
  await until(() => !existsSync(there));
  await Bun.write(there, "precious");
  const { code, err } = await run(["forward", "dev", "-R", `/agent.sock:${here}`], vault.env);
  expect(code).toBe(7);
  expect(err).toContain("/agent.sock is there already, and is not replaced");
  expect(await Bun.file(there).text()).toBe("precious");
  await Bun.file(there).delete();
  server.close();
});

test("a port that is taken there ends `forward` with exit 7; `connect -N` says it and goes on", async () => {
  const taken = listenTcp({ host: "127.0.0.1", port: 0 }, { onConnection: () => undefined });
  const spec = `${taken.port}:localhost:1`;
  const first = await run(["forward", "dev", "-R", spec], vault.env);
  expect(first.code).toBe(7);
  expect(first.err).toContain(`port ${taken.port} is in use there`);
  expect(first.err).toContain("FV-FWD-004");
  const words = ["connect", "-N", "dev", "-R", spec, "-L", `0:localhost:1`];
  const second = await whileRunning(words, vault.env, async () => undefined);
  expect(second.code).toBe(130);
  expect(second.err).toContain(`-R ${spec}: `);
  taken.close();
});

test("a machine of before says that it cannot do this, and what to do", async () => {
  vault.onRequest = ({ type }) =>
    type === "forward-listen" ? new RemoteError("unsupported", "no forward-listen") : undefined;
  const { code, err } = await run(["forward", "dev", "-R", "0:localhost:1"], vault.env);
  vault.onRequest = undefined;
  expect(code).toBe(9);
  expect(err).toContain("cannot do this yet");
  expect(err).toContain("update the machine");
});

test("--gateway is needed there too", async () => {
  const words = ["forward", "dev", "-R", "0.0.0.0:0:localhost:1"];
  const without = await run(words, vault.env);
  expect(without.code).toBe(2);
  vault.firewall = "on";
  const { out, err } = await whileRunning(
    ["forward", "dev", "--gateway", "-R", "0:localhost:1"],
    vault.env,
    async () => undefined,
  );
  expect(err).toContain("only where its VAULT_OPEN_PORTS names them");
  expect(out).toMatch(/dev \[::\]:\d+ -> localhost:1 {3}up/);
  expect(vault.requests.findLast(({ type }) => type === "forward-listen")).toMatchObject({
    gateway: true,
  });
});

test("the shell's end takes the listener with it", async () => {
  const port = freePort();
  const context = memoryContext({
    env: vault.env,
    stdin: [new TextEncoder().encode("echo $((40+2))\n")],
  });
  const spec = `${port}:127.0.0.1:${target.port}`;
  expect(await main(["connect", "dev", "-R", spec], context)).toBe(0);
  expect(context.out()).toBe("42\n");
  await until(() => !isListening(port));
});
