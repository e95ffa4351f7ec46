import { expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { deriveLoginKey } from "../../../src/fly/token.ts";
import { textOf } from "../../../src/system/proc-files.ts";
import { memoryOf } from "../../support/process-memory.ts";
import { secretTraces } from "../../support/secret-traces.ts";
import { TestMachine } from "./machine.ts";

setDefaultTimeout(120_000);

const token = "canary-7f3a9c51e2d84b06a1";

test("the token is nowhere once init runs: environment, arguments, memory, log, children, workload", async () => {
  await using machine = await TestMachine.boot({ env: { ACCESS_TOKEN: token } });
  await machine.untilLogged('"event":"listening"');
  const pids = [machine.pid, ...machine.descendants()];
  for (const pid of pids) {
    for (const file of ["environ", "cmdline"])
      expect(secretTraces(Buffer.from(textOf(`/proc/${pid}/${file}`)), token, "test-app")).toEqual(
        [],
      );
    let found = 0;
    for (const bytes of memoryOf(pid)) if (Buffer.from(bytes).includes(token)) found += 1;
    expect({ pid, found }).toEqual({ pid, found: 0 });
  }
  expect(secretTraces(Buffer.from(machine.log), token, "test-app")).toEqual([]);
  const { stdout } = await machine.shell("cat /proc/*/environ /proc/*/cmdline 2>/dev/null; env");
  expect(secretTraces(Buffer.from(stdout), token, "test-app")).toEqual([]);
});

test("the key is in keeper and link only, and the way it came is empty", async () => {
  await using machine = await TestMachine.boot({ env: { ACCESS_TOKEN: token } });
  await machine.untilLogged('"event":"listening"');
  const key = Buffer.from(deriveLoginKey(token, "test-app"));
  const holders = [machine.pid, ...machine.descendants()].filter((pid) => {
    for (const bytes of memoryOf(pid)) if (Buffer.from(bytes).includes(key)) return true;
    return false;
  });
  expect(new Set(holders)).toEqual(new Set([machine.pid, machine.linkPid()]));
  const names = readdirSync(`/proc/${machine.pid}/fd`);
  expect(names.length).toBeGreaterThan(3);
});

test("root inside cannot look at init: no capability to trace, and nothing to see", async () => {
  await using machine = await TestMachine.boot({ env: { ACCESS_TOKEN: token } });
  const { stdout } = await machine.shell(
    "grep CapBnd /proc/self/status; ls /proc | grep -c '^[0-9]'",
  );
  const bounding = BigInt(`0x${/CapBnd:\t([0-9a-f]+)/.exec(stdout)?.[1] ?? "0"}`);
  for (const capability of [2n, 16n, 17n, 19n]) expect((bounding >> capability) & 1n).toBe(0n);
  const status = readFileSync(`/proc/${machine.pid}/limits`, "utf8");
  expect(status).toMatch(/^Max core file size\s+0\s/m);
});

test.each([
  ["none", {}],
  ["an empty one", { ACCESS_TOKEN: "" }],
  ["one of ours cut short", { ACCESS_TOKEN: "fvt1_abc" }],
])("without a usable token (%s) init serves, and says that it refuses logins", async (_, env) => {
  await using machine = await TestMachine.boot({ env });
  await machine.untilLogged('"event":"listening"');
  expect(machine.log).toContain('"event":"logins-refused"');
  expect((await machine.run(["true"])).exit).toEqual({ code: 0 });
});
