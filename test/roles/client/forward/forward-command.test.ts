import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { splitVault } from "../../../../src/roles/client/forward/forward-flags.ts";
import {
  forgetRegistered,
  newRegisteredPath,
  prepareRegistry,
  registeredForwards,
} from "../../../../src/roles/client/forward/forward-registry.ts";
import { main } from "../../../../src/roles/client/main.ts";
import { memoryContext } from "../../../support/memory-context.ts";
import { TestVault } from "../../../support/test-vault.ts";
import { ask, DigestServer, run, until, whileRunning } from "./forward-stage.ts";
import { freePort } from "../../../support/free-port.ts";

setDefaultTimeout(120_000);

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

test("one line for each, again when the link goes and comes back; connections are held meanwhile", async () => {
  const words = ["forward", "dev", `0:127.0.0.1:${target.port}`, "-D", "0"];
  const shown = await whileRunning(words, vault.env, async (context) => {
    const port = Number(/127\.0\.0\.1:(\d+) ->/.exec(context.out())?.[1]);
    const restarting = vault.restartLink(500);
    await until(() => context.out().includes("waiting (link down)"));
    expect(await ask(port, new Uint8Array(3))).toStartWith("3 ");
    await restarting;
    await until(() => context.out().split("\n").length === 7);
  });
  expect(shown.out.split("\n").map((line) => line.split("   ")[1])).toEqual([
    "up",
    "up",
    "waiting (link down)",
    "waiting (link down)",
    "up",
    "up",
    undefined,
  ]);
  expect(shown.code).toBe(130);
});

test("-q shows nothing, and forwards all the same", async () => {
  const port = freePort();
  const context = memoryContext({ env: vault.env });
  const words = ["forward", "-q", "dev", "-L", `${port}:127.0.0.1:${target.port}`];
  const running = main(words, context);
  let answer = "";
  while (answer === "") answer = await ask(port, new Uint8Array(2)).catch(() => "");
  expect(answer).toStartWith("2 ");
  context.stop("SIGTERM");
  expect(await running).toBe(143);
  expect([context.out(), context.err()]).toEqual(["", ""]);
});

test("without a spec those of the configuration, and without those a usage error", async () => {
  expect((await run(["forward", "dev"], vault.env)).code).toBe(2);
  await vault.configure({
    forward: [`0:127.0.0.1:${target.port}`],
    reverse_forward: ["0:localhost:1"],
    dynamic_forward: ["0"],
  });
  const { out } = await whileRunning(["forward", "dev"], vault.env, async () => undefined);
  expect(out.split("\n")).toHaveLength(4);
  await vault.configure({});
});

test("the vault may be left out where the environment names it", async () => {
  const env = { ...vault.env, FLY_VAULT_VAULT: "dev" };
  const { out } = await whileRunning(["forward", "0:localhost:80"], env, async () => undefined);
  expect(out).toContain("-> dev localhost:80");
  expect(splitVault("dev", ["1"])).toEqual({ vault: "dev", specs: ["1"] });
  expect(splitVault("8000-8010", ["1"])).toEqual({ vault: undefined, specs: ["8000-8010", "1"] });
  expect(splitVault("/a:/b", [])).toEqual({ vault: undefined, specs: ["/a:/b"] });
  expect(splitVault(undefined, [])).toEqual({ vault: undefined, specs: [] });
});

test("processes with forwards are found by sockets in a folder of the user alone", () => {
  const context = memoryContext({ env: { XDG_STATE_HOME: join(vault.folder, "other") } });
  expect(registeredForwards(context.env)).toEqual([]);
  expect(prepareRegistry(context.env)).toBe(true);
  const paths = (["connect", "forward"] as const).map((each) =>
    newRegisteredPath(each, "dev", context),
  );
  for (const path of paths) writeFileSync(path, "");
  writeFileSync(join(paths[0] ?? "", "../unrelated"), "");
  const found = registeredForwards(context.env);
  expect(found.map(({ command, vault: name, pid }) => ({ command, name, pid }))).toEqual([
    { command: "forward", name: "dev", pid: process.pid },
    { command: "connect", name: "dev", pid: process.pid },
  ]);
  for (const each of found) forgetRegistered(each);
  expect(paths.some((path) => existsSync(path))).toBe(false);
});

test("a folder that others may use is not used", () => {
  const runtime = join(vault.folder, "runtime");
  mkdirSync(join(runtime, "fly-vault/forwards"), { recursive: true, mode: 0o777 });
  const env = { XDG_RUNTIME_DIR: runtime };
  expect(statSync(join(runtime, "fly-vault/forwards")).mode & 0o077).not.toBe(0);
  expect(prepareRegistry(env)).toBe(false);
  expect(registeredForwards(env)).toEqual([]);
});
