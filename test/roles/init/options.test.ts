import { expect, test } from "bun:test";
import { limits } from "../../../src/protocol/limits.ts";
import { initLimits } from "../../../src/roles/init/limits.ts";
import { main } from "../../../src/roles/init/main.ts";
import { type InitFlags, readOptions } from "../../../src/roles/init/options.ts";
import { memoryContext } from "../../support/memory-context.ts";

const noFlags: InitFlags = {
  listen: undefined,
  "data-dir": undefined,
  "api-socket": undefined,
  "run-dir": undefined,
  "session-output": undefined,
  "session-output-total": undefined,
  "idle-stop": undefined,
};

test("readOptions: what a Fly Machine gives is enough", () => {
  const env = { FLY_APP_NAME: "my_app", FLY_MACHINE_ID: "148e21ea7e46e8" };
  expect(readOptions(noFlags, env)).toEqual({
    listen: undefined,
    dataDir: "/data",
    apiSocket: "/.fly/api",
    runDir: "/run/fly-vault",
    app: "my_app",
    machineId: "148e21ea7e46e8",
    hostname: "my-app",
    stopGraceMs: initLimits.stopGraceMs,
    firewall: "auto",
    openings: [],
    ringBytes: limits.ringBytes,
    ringsBytesMax: undefined,
    idleStopMs: undefined,
    logLevel: "info",
    linkProgram: undefined,
  });
});

test.each([
  ["10", 10_000],
  ["10s", 10_000],
  ["250ms", 250],
  ["", initLimits.stopGraceMs],
])("readOptions: a grace of %p", (text, ms) => {
  expect(readOptions(noFlags, { VAULT_STOP_GRACE: text }).stopGraceMs).toBe(ms);
});

test.each([
  ["30m", 1_800_000],
  ["1h30m", 5_400_000],
  ["2s", initLimits.idleStopMsMin],
  ["off", undefined],
  ["", undefined],
])("readOptions: an idle stop of %p", (text, ms) => {
  expect(readOptions({ ...noFlags, "idle-stop": text }, {}).idleStopMs).toBe(ms);
});

test.each(["30", "soon", "1s", "-5m"])("readOptions refuses an idle stop of %p", (text) => {
  expect(() => readOptions({ ...noFlags, "idle-stop": text }, {})).toThrow("VAULT_IDLE_STOP");
});

test.each(["soon", "-1", "1.5", "1h", "10 s", "99999999"])(
  "readOptions refuses a grace of %p",
  (text) => {
    expect(() => readOptions(noFlags, { VAULT_STOP_GRACE: text })).toThrow("VAULT_STOP_GRACE");
  },
);

const MiB = 2 ** 20;

test.each([
  ["1M", undefined, MiB, undefined],
  ["16MiB", "64M", 16 * MiB, 64 * MiB],
  ["1g", "64G", initLimits.ringBytesMax, initLimits.ringsBytesMax],
  ["1048576", "1024K", MiB, MiB],
  [undefined, "2M", 2 * MiB, 2 * MiB],
  ["", "", limits.ringBytes, undefined],
])("readOptions: session output of %p, %p in all", (each, total, ringBytes, ringsBytesMax) => {
  const flags = { ...noFlags, "session-output": each, "session-output-total": total };
  expect(readOptions(flags, {})).toMatchObject({ ringBytes, ringsBytesMax });
});

test.each([
  [{ "session-output": "much" }, "such as 512K, 4M or 1G"],
  [{ "session-output": "4.5M" }, "such as 512K, 4M or 1G"],
  [{ "session-output": "-4M" }, "such as 512K, 4M or 1G"],
  [{ "session-output": "4T" }, "such as 512K, 4M or 1G"],
  [{ "session-output": "1023K" }, "1.0 MiB to 1.0 GiB"],
  [{ "session-output": "1025M" }, "1.0 MiB to 1.0 GiB"],
  [{ "session-output-total": "65G" }, "1.0 MiB to 64.0 GiB"],
  [{ "session-output": "8M", "session-output-total": "4M" }, "8.0 MiB to 64.0 GiB"],
])("readOptions refuses %j", (wrong, words) => {
  expect(() => readOptions({ ...noFlags, ...wrong }, {})).toThrow(words);
});

test("init says at once that a size in its environment is none", async () => {
  const wrong = memoryContext({ env: { VAULT_SESSION_OUTPUT: "4 apples" } });
  expect(await main([], wrong)).toBe(2);
  expect(wrong.err()).toContain("VAULT_SESSION_OUTPUT");
  expect(wrong.err()).toContain('"4 apples"');
});

test("readOptions refuses folders that depend on where one stands", () => {
  expect(() => readOptions({ ...noFlags, "data-dir": "data" }, {})).toThrow("--data-dir");
});

test.each([
  ["debug", "debug"],
  ["TRACE", "debug"],
  ["fly_vault=warn,info", "warn"],
  ["nonsense", "info"],
] as const)("readOptions: RUST_LOG=%s means %s", (text, level) => {
  expect(readOptions(noFlags, { RUST_LOG: text }).logLevel).toBe(level);
});

test.each([
  ["", "fly-vault"],
  ["---", "fly-vault"],
  ["a.b c", "a-b-c"],
  ["x".repeat(100), "x".repeat(63)],
])("readOptions: host name of %p", (text, hostname) => {
  expect(readOptions(noFlags, { VAULT_HOSTNAME: text, FLY_APP_NAME: "" }).hostname).toBe(hostname);
});

test("init --help explains the flags on stdout; an unknown flag is exit 2 on stderr", async () => {
  const help = memoryContext({});
  expect(await main(["--help"], help)).toBe(0);
  expect(help.out()).toContain("--data-dir");
  const wrong = memoryContext({});
  expect(await main(["--data-dri", "/x"], wrong)).toBe(2);
  expect(wrong.err()).toContain("--data-dir");
});

const read = (VAULT_FIREWALL: string, listen?: string): string =>
  readOptions({ ...noFlags, listen }, { VAULT_FIREWALL }).firewall;

test("readOptions: a firewall is on, off or auto, and on only for a port that is known", () => {
  expect(["", "auto", "on", "off"].map((text) => read(text))).toEqual([
    "auto",
    "auto",
    "on",
    "off",
  ]);
  expect(read("auto", "[::]:0")).toBe("auto");
  expect(() => read("on", "[::]:0")).toThrow("not 0");
  expect(() => read("yes")).toThrow('not "yes"');
});

test("readOptions: another program for the link, by its whole path", () => {
  const { linkProgram } = readOptions(noFlags, { VAULT_LINK_PROGRAM: "/data/link" });
  expect(linkProgram).toBe("/data/link");
  expect(readOptions(noFlags, { VAULT_LINK_PROGRAM: "" }).linkProgram).toBeUndefined();
  expect(() => readOptions(noFlags, { VAULT_LINK_PROGRAM: "link" })).toThrow("VAULT_LINK_PROGRAM");
});
