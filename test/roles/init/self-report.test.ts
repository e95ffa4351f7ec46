import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { limits } from "../../../src/protocol/limits.ts";
import { initLogReplySchema } from "../../../src/protocol/message.ts";
import { RecentLog } from "../../../src/roles/init/recent-log.ts";
import { initLimits } from "../../../src/roles/init/limits.ts";
import { selfCommand } from "../../../src/system/self.ts";
import { ask, codeOf, eventually } from "./ask.ts";
import { TestMachine } from "./machine.ts";

setDefaultTimeout(120_000);

let machine: TestMachine;

beforeAll(async () => {
  machine = await TestMachine.boot();
});

afterAll(async () => {
  await machine[Symbol.asyncDispose]();
});

/** As Fly's `exec` runs it: another process in the machine, with its environment. */
async function init(...words: readonly string[]): Promise<{ code: number; out: string }> {
  const child = Bun.spawn(selfCommand("init", ...words), {
    env: { PATH: process.env["PATH"], VAULT_RUN_DIR: machine.runDir, ACCESS_TOKEN: "a-token" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const [out, err, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { code, out: out + err };
}

async function counts(): Promise<{ open: number; running: number }> {
  return JSON.parse((await init("sessions")).out) as { open: number; running: number };
}

test("a shell at its prompt that nobody looks at is not open; one that works or is looked at is", async () => {
  expect(await counts()).toEqual({ open: 0, running: 0 });
  const shell = await machine.open({ tty: true });
  const session = shell.reply.id;
  expect(await counts()).toEqual({ open: 1, running: 1 });
  await shell.leave();
  const left = await eventually(counts, ({ open }) => open === 0);
  expect(left).toEqual({ open: 0, running: 1 });
  const again = await machine.attach({ session });
  await again.write("sleep 1000\n");
  await machine.descendant("sleep 1000");
  await again.leave();
  await eventually(
    async () => machine.sessions(),
    ([only]) => only?.clients === 0,
  );
  expect(await counts()).toEqual({ open: 1, running: 1 });
  const command = await machine.open({ argv: ["sleep", "1000"] });
  await command.leave();
  expect(await counts()).toEqual({ open: 2, running: 2 });
});

test("log prints the last lines, and no more than were asked for", async () => {
  const { code, out } = await init("log", "--tail", "200");
  expect([code, out.includes('"event":"ready"')]).toEqual([0, true]);
  expect((await init("log", "--tail", "1")).out.split("\n").length).toBe(2);
  expect(await init("log", "--tail", "0")).toEqual({ code: 0, out: "" });
  for (const tail of ["201", "x", "-1", ""])
    expect((await init("log", `--tail=${tail}`)).code).toBe(2);
  const all = await ask(machine, { type: "init-log", lines: 200 }, initLogReplySchema);
  expect(`${all.lines.join("\n")}\n`).toBe(out);
  const tooMany = { type: "init-log", lines: limits.logLinesMax + 1 } as const;
  expect(await codeOf(ask(machine, tooMany, initLogReplySchema))).toBe("bad-request");
});

test("without an init it says so, and where it looked", async () => {
  const { code, out } = await init("sessions", "--run-dir", "/nowhere");
  expect([code, out]).toEqual([
    expect.any(Number),
    expect.stringContaining("no init answers at /nowhere/keeper.sock"),
  ]);
  expect(code).not.toBe(0);
});

test("the log that is kept has limits", () => {
  const log = new RecentLog();
  for (let at = 0; at < limits.logLinesMax + 5; at += 1) log.add(`${at}\n`);
  expect(log.last(limits.logLinesMax).length).toBe(limits.logLinesMax);
  expect(log.last(2)).toEqual(["203", "204"]);
  log.add("ü".repeat(5_000));
  expect(log.last(1)[0]?.length).toBe(initLimits.recentLogCharsMax);
  expect(log.last(0)).toEqual([]);
});

test("a keeper that does not answer is not waited for for ever", async () => {
  process.kill(machine.pid, "SIGSTOP");
  try {
    const startedMs = performance.now();
    const { code, out } = await init("sessions");
    expect([code === 0, out.includes("no answer within")]).toEqual([false, true]);
    expect(performance.now() - startedMs).toBeGreaterThan(initLimits.selfReportMs - 100);
  } finally {
    process.kill(machine.pid, "SIGCONT");
  }
});
