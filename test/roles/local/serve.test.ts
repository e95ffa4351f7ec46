import { afterEach, beforeEach, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { localLimits } from "../../../src/roles/local/limits.ts";
import { identify, isAlive, sendSignal } from "../../../src/roles/local/process-table.ts";
import { main } from "../../../src/roles/local/main.ts";
import { childEnv } from "../../../src/system/child-env.ts";
import { selfCommand } from "../../../src/system/self.ts";
import { freePort } from "../../support/free-port.ts";
import { memoryContext } from "../../support/memory-context.ts";
import { eventually, type Json, writeScript } from "./stage.ts";

/** fly-local as a process of its own, which can be killed. */
interface Served {
  readonly child: Bun.Subprocess<"ignore", "pipe", "pipe">;
  readonly ready: Json;
  call(method: string, path: string, body?: unknown): Promise<Json>;
}

let dir: string;
let init: string;
const running: Served[] = [];

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "fl-"));
  const words = "trap 'echo bye; exit 0' INT; echo up $$; while :; do sleep 0.05; done";
  init = writeScript(join(dir, "init.sh"), words);
});

afterEach(async () => {
  for (const { child } of running.splice(0)) {
    child.kill("SIGTERM");
    await child.exited;
  }
  rmSync(dir, { recursive: true, force: true });
}, 120_000);

const machines = "/v1/apps/app-a/machines";

async function serve(...words: readonly string[]): Promise<Served> {
  // The next one of this state comes back to the port: meanwhile nobody else may get it.
  const port = existsSync(join(dir, "state")) ? 0 : freePort();
  const flags = ["--json", "--init", init, "--listen", `127.0.0.1:${port}`];
  const child = Bun.spawn({
    cmd: [...selfCommand("local", "serve", "--state-dir", join(dir, "state")), ...flags, ...words],
    env: childEnv({ PATH: process.env["PATH"], SECRET_OF_OURS: "x" }),
    stdio: ["ignore", "pipe", "pipe"],
  });
  const reader = child.stdout.getReader();
  const { value } = await reader.read();
  if (value === undefined) throw new Error(await child.stderr.text());
  const ready: Json = JSON.parse(new TextDecoder().decode(value));
  const served: Served = {
    child,
    ready,
    call: async (method, path, body) => {
      const response = await fetch(ready.api_base + path, {
        method,
        body: body === undefined ? null : JSON.stringify(body),
        headers: { authorization: `Bearer ${ready.api_token}` },
      });
      return response.json();
    },
  };
  running.push(served);
  return served;
}

const create = async (on: Served) =>
  on.call("POST", machines, { config: { image: "i", stop_config: { timeout: "5s" } } });

const log = (id: string) => readFileSync(join(dir, "state", "machines", id, "log"), "utf8");

test("ready line, token file, and nothing of our own environment in the machine", async () => {
  const served = await serve("--org", "my-org", "--region", "lhr");
  expect(Object.keys(served.ready)).toEqual(["api_base", "issuer", "org", "api_token"]);
  expect(served.ready.issuer).toBe(`${served.ready.api_base}/my-org`);
  const tokenFile = join(dir, "state", "api-token");
  expect(readFileSync(tokenFile, "utf8").trim()).toBe(served.ready.api_token);
  expect(statSync(tokenFile).mode & 0o777).toBe(0o600);
  expect(statSync(join(dir, "state")).mode & 0o777).toBe(0o700);
  const made = await create(served);
  expect(made.region).toBe("lhr");
  await eventually(() => log(made.id).includes("up"));
  const pid = Number(/up (\d+)/.exec(log(made.id))?.[1]);
  const environ = readFileSync(`/proc/${pid}/environ`, "utf8");
  expect(environ).not.toContain("SECRET_OF_OURS");
  expect(environ).not.toContain(served.ready.api_token);
});

test("killed, it comes back on the same port and finds its machines running", async () => {
  const first = await serve();
  const made = await create(first);
  await eventually(() => log(made.id).includes("up"));
  const process = identify(Number(/up (\d+)/.exec(log(made.id))?.[1]));
  if (process === undefined) throw new Error("no process");
  first.child.kill("SIGKILL");
  await first.child.exited;
  expect(isAlive(process)).toBe(true);
  const second = await serve();
  expect(second.ready).toEqual(first.ready);
  const found = await second.call("GET", `${machines}/${made.id}`);
  expect(found).toMatchObject({ state: "started", private_ip: made.private_ip });
  const socket = join(dir, "state", "machines", made.id, "api");
  const token = await fetch("http://localhost/v1/tokens/oidc", {
    unix: socket,
    method: "POST",
    body: '{"aud":"x"}',
  });
  expect((await token.text()).split(".").length).toBe(3);
  expect(log(made.id).split("up").length).toBe(2);
  await second.call("POST", `${machines}/${made.id}/stop`);
  await second.call("GET", `${machines}/${made.id}/wait?state=stopped&timeout=5`);
  expect(log(made.id)).toContain("bye");
  expect(isAlive(process)).toBe(false);
});

test("a machine that died meanwhile is found stopped", async () => {
  const first = await serve();
  const made = await create(first);
  await eventually(() => log(made.id).includes("up"));
  first.child.kill("SIGKILL");
  await first.child.exited;
  const found = identify(Number(/up (\d+)/.exec(log(made.id))?.[1]));
  expect(found !== undefined && sendSignal(found, "SIGKILL")).toBe(true);
  const second = await serve();
  expect((await second.call("GET", `${machines}/${made.id}`)).state).toBe("stopped");
  await second.call("POST", `${machines}/${made.id}/start`);
  await eventually(() => log(made.id).split("up").length === 3);
});

test("stopped in order it stops its machines, and starts them again the next time", async () => {
  const first = await serve();
  const made = await create(first);
  const idle = await create(first);
  await eventually(() => log(made.id).includes("up") && log(idle.id).includes("up"));
  await first.call("POST", `${machines}/${idle.id}/stop`);
  await first.call("GET", `${machines}/${idle.id}/wait?state=stopped&timeout=5`);
  first.child.kill("SIGTERM");
  expect(await first.child.exited).toBe(0);
  expect(log(made.id)).toContain("bye");
  const second = await serve();
  expect((await second.call("GET", `${machines}/${made.id}`)).state).toBe("started");
  expect((await second.call("GET", `${machines}/${idle.id}`)).state).toBe("stopped");
});

test("--keep-machines leaves them running", async () => {
  const first = await serve("--keep-machines");
  const made = await create(first);
  await eventually(() => log(made.id).includes("up"));
  const process = identify(Number(/up (\d+)/.exec(log(made.id))?.[1]));
  first.child.kill("SIGTERM");
  expect(await first.child.exited).toBe(0);
  expect(process !== undefined && isAlive(process)).toBe(true);
  const second = await serve();
  expect((await second.call("GET", `${machines}/${made.id}`)).state).toBe("started");
});

test("a second fly-local on the same state is refused", async () => {
  const first = await serve();
  const context = memoryContext();
  const words = ["serve", "--state-dir", join(dir, "state"), "--listen", "127.0.0.1:0"];
  expect(await main(words, context)).toBe(1);
  expect(context.err()).toContain(`another fly-local (process ${first.child.pid})`);
});

test("wrong words are refused with exit 2, and a broken state with a reason", async () => {
  const cases: readonly (readonly [readonly string[], number, string])[] = [
    [["--listen", "0.0.0.0:4280"], 2, "loopback"],
    [["--listen", "127.0.0.1:99999"], 2, "loopback"],
    [["--org", "My Org"], 2, "--org"],
    [["--region", "moon"], 2, "--region"],
    [["--evidence-rate", "fast"], 2, "--evidence-rate"],
    [["--state-dir", `/tmp/${"x".repeat(80)}`], 2, "too long"],
    [["--nope"], 2, "unknown flag"],
  ];
  for (const [words, exitCode, message] of cases) {
    const context = memoryContext();
    const state = words[0] === "--state-dir" ? [] : ["--state-dir", join(dir, "other")];
    expect([words, await main(["serve", ...state, ...words], context)]).toEqual([words, exitCode]);
    expect(context.err()).toContain(message);
  }
  writeFileSync(join(dir, "state.json"), '{"version":2}');
  const context = memoryContext();
  expect(await main(["serve", "--state-dir", dir, "--listen", "127.0.0.1:0"], context)).toBe(1);
  expect(context.err()).toContain("state.json cannot be understood");
});

test("a fleet of records, with faults, room and lag told on the command line", async () => {
  const faults = join(dir, "faults.json");
  const call = "POST /v1/apps/{app}/machines";
  writeFileSync(faults, JSON.stringify({ faults: [{ call, do: { kind: "capacity" } }] }));
  const times = ["--start-ms", "1", "--checks-ms", "1", "--stop-ms", "1"];
  const served = await serve("--no-run", ...times, "--faults", faults, "--capacity", "iad=1");
  expect((await create(served)).status).toBe("insufficient_capacity");
  const { id } = await create(served);
  expect((await served.call("GET", `${machines}/${id}/wait?timeout=5`)).state).toBe("started");
  expect((await create(served)).error).toContain("not enough capacity in iad");
  expect((await served.call("GET", "/local/v1/faults")).faults[0].hits).toBe(1);
  served.child.kill("SIGTERM");
  expect(await served.child.exited).toBe(0);
  const state = JSON.parse(readFileSync(join(dir, "state", "state.json"), "utf8"));
  expect(state.machines).toMatchObject([{ id, state: "stopped", resume: true }]);
});

test("flags of fleets and faults that make no sense are refused", async () => {
  const wrong = join(dir, "wrong.json");
  writeFileSync(wrong, JSON.stringify({ faults: [{ call: "GET /v1/no", do: { kind: "html" } }] }));
  const long = join(dir, "long.json");
  writeFileSync(long, " ".repeat(localLimits.requestBytesMax + 1));
  const cases = [
    [["--no-run", "--start-ms", "soon"], "--start-ms takes 0 to"],
    [["--no-run", "--stop-ms", `${localLimits.simulatedMsMax + 1}`], "--stop-ms takes 0 to"],
    [["--lag-ms", `${localLimits.lagMsMax + 1}`], "--lag-ms takes 0 to"],
    [["--capacity", "ord"], "--capacity takes REGION=N"],
    [["--faults", join(dir, "none.json")], "cannot be read"],
    [["--faults", long], "it is too long"],
    [["--faults", wrong], "faults.0.call"],
  ] as const;
  for (const [words, told] of cases) {
    const context = memoryContext();
    const argv = ["serve", "--state-dir", join(dir, "state"), "--listen", "127.0.0.1:0", ...words];
    expect([words, await main(argv, context)]).toEqual([words, 2]);
    expect(context.err()).toContain(told);
  }
});
