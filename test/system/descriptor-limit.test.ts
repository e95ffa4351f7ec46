import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { childEnv } from "../../src/system/child-env.ts";

const module = fileURLToPath(new URL("../../src/system/descriptor-limit.ts", import.meta.url));
const script = `const { raiseDescriptorLimit } = await import(${JSON.stringify(module)});
console.log(raiseDescriptorLimit(5000));
console.log(require("node:fs").readFileSync("/proc/self/limits", "latin1").match(/^Max open files +([0-9]+) +([0-9]+)/m).slice(1).join(" "));`;

/** CAP_SYS_RESOURCE, which root does not have everywhere. */
const capabilities = /^CapEff:\t(.*)$/m.exec(readFileSync("/proc/self/status", "latin1"))?.[1];
const mayRaise = ((BigInt(`0x${capabilities ?? "0"}`) >> 24n) & 1n) === 1n;

// Bun itself raises the soft limit to the hard one.
test.each([
  ["what is enough stays", ["prlimit", "--nofile=6000:7000"], "7000\n7000 7000\n"],
  [
    "root raises the hard one, where it may",
    ["prlimit", "--nofile=100:200"],
    mayRaise ? "5000\n5000 5000\n" : "200\n200 200\n",
  ],
  [
    "others take what there is",
    ["setpriv", "--bounding-set=-sys_resource", "prlimit", "--nofile=100:200"],
    "200\n200 200\n",
  ],
])("%s", async (_what, starter, expected) => {
  const child = Bun.spawn([...starter, process.execPath, "-e", script], {
    env: childEnv({ PATH: process.env["PATH"] }),
    stdio: ["ignore", "pipe", "inherit"],
  });
  expect(await child.stdout.text()).toBe(expected);
});
