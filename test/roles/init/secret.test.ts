import { expect, setDefaultTimeout, test } from "bun:test";
import { closeSync, openSync, readdirSync, readFileSync, readSync } from "node:fs";
import { deriveLoginKey } from "../../../src/fly/token.ts";
import { secretTraces } from "../../support/secret-traces.ts";
import { TestMachine } from "./machine.ts";

setDefaultTimeout(60_000);

const token = "canary-7f3a9c51e2d84b06a1";

/** All memory of a process that can be read, whatever it is used for. */
function* memory(pid: number): Generator<Uint8Array> {
  const fd = openSync(`/proc/${pid}/mem`, "r");
  try {
    for (const line of readFileSync(`/proc/${pid}/maps`, "utf8").split("\n")) {
      const match = /^([0-9a-f]+)-([0-9a-f]+) r/.exec(line);
      if (match === null || line.includes("[v")) continue;
      const end = Number.parseInt(match[2] ?? "", 16);
      for (let at = Number.parseInt(match[1] ?? "", 16); at < end; at += 1 << 24) {
        const bytes = new Uint8Array(Math.min(end - at, 1 << 24));
        try {
          yield bytes.subarray(0, readSync(fd, bytes, 0, bytes.length, at));
        } catch {
          // Reserved, not there.
        }
      }
    }
  } finally {
    closeSync(fd);
  }
}

test("the token is nowhere once init runs: environment, arguments, memory, log, children, workload", async () => {
  await using machine = await TestMachine.boot({ env: { ACCESS_TOKEN: token } });
  await machine.untilLogged('"event":"listening"');
  const pids = [machine.pid, ...machine.descendants()];
  for (const pid of pids) {
    for (const file of ["environ", "cmdline"])
      expect(secretTraces(readFileSync(`/proc/${pid}/${file}`), token, "test-app")).toEqual([]);
    let found = 0;
    for (const bytes of memory(pid)) if (Buffer.from(bytes).includes(token)) found += 1;
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
    for (const bytes of memory(pid)) if (Buffer.from(bytes).includes(key)) return true;
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
  for (const capability of [16n, 17n, 19n]) expect((bounding >> capability) & 1n).toBe(0n);
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
