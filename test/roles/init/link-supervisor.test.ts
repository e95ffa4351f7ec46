import { afterEach, beforeEach, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { initLimits } from "../../../src/roles/init/limits.ts";
import {
  decodeLinkPlan,
  LinkPlanError,
  linkPlanVersion,
} from "../../../src/roles/init/link-plan.ts";
import { LinkSupervisor } from "../../../src/roles/init/link-supervisor.ts";
import type { LogFields } from "../../../src/system/log.ts";
import { version } from "../../../src/cli/program.ts";

setDefaultTimeout(120_000);

/** The real link as the keeper's own program, and shell scripts that may take its place. */
const limitsBefore = { ...initLimits };
let folder: string;
let program: string;
let lines: (LogFields & { readonly event: string })[];
/** When each of them was. */
let loggedMs: number[];
let supervisor: LinkSupervisor;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "fv-links-"));
  program = join(folder, "link");
  lines = [];
  loggedMs = [];
  supervisor = superviseWith();
});

afterEach(async () => {
  await supervisor.stop();
  Object.assign(initLimits, limitsBefore);
  rmSync(folder, { recursive: true });
});

function superviseWith(planVersion = linkPlanVersion): LinkSupervisor {
  return new LinkSupervisor({
    plan: {
      planVersion,
      listen: "127.0.0.1:0",
      keeperPid: process.pid,
      keeperSocket: join(folder, "keeper.sock"),
      apiSocket: join(folder, "api"),
      runDir: folder,
      app: "test-app",
      machineId: "148e21ea7e46e8",
      logLevel: "error",
    },
    secrets: { login: new Uint8Array(32), admission: undefined },
    programOnDisk: [program],
    log: (_level, event, fields) => {
      lines.push({ event, ...fields });
      loggedMs.push(performance.now());
    },
  });
}

const ready = `echo '{"kind":"ready","version":"9.9.9"}' >&4`;
/** The keys, then the byte that says go. */
const awaitGo = "head -c 65 <&3 >/dev/null";
const listening = `echo '{"kind":"listening"}' >&4`;
const serve = "exec sleep 1000";

function writeProgram(...script: readonly string[]): void {
  writeFileSync(program, ["#!/bin/sh", ...script, ""].join("\n"), { mode: 0o755 });
}

async function untilVersion(wanted: string | undefined): Promise<void> {
  await until(() => supervisor.version === wanted, `version ${wanted}`);
}

async function untilLogged(event: string): Promise<LogFields> {
  await until(() => lines.some((line) => line.event === event), event);
  return lines.find((line) => line.event === event) ?? {};
}

async function until(condition: () => boolean, what: string): Promise<void> {
  const deadlineMs = performance.now() + 20_000;
  while (!condition()) {
    if (performance.now() > deadlineMs) throw new Error(`${what}: ${JSON.stringify(lines)}`);
    await Bun.sleep(5);
  }
}

function events(): string[] {
  return lines.map((line) => line.event);
}

async function startOwn(): Promise<void> {
  supervisor.start();
  await untilVersion(version);
}

test("another program takes over once it has loaded, and the one before goes", async () => {
  await startOwn();
  writeProgram(
    ready,
    awaitGo,
    `pgrep -fc " init link .*${folder}" > ${folder}/links`,
    listening,
    serve,
  );
  supervisor.replace();
  await untilVersion("9.9.9");
  expect(events()).toEqual(["link-replaced"]);
  // Itself alone: by then the other one is gone.
  expect(await Bun.file(join(folder, "links")).text()).toBe("1\n");
});

test("reports and members that are not known are ignored", async () => {
  await startOwn();
  writeProgram(
    `echo '{"kind":"warming-up","percent":50}' >&4`,
    "echo 'no JSON at all' >&4",
    `echo '{"kind":"ready","version":"9.9.9","features":["x"]}' >&4`,
    awaitGo,
    listening,
    serve,
  );
  supervisor.replace();
  await untilVersion("9.9.9");
  const plan = { planVersion: linkPlanVersion, later: 1 };
  expect(() => decodeLinkPlan(JSON.stringify(plan))).toThrow("Plan: keeperPid");
});

test.each([
  ["ends before it has loaded", ["exit 1"], { exit_code: 1 }],
  [
    "says that it cannot",
    [`echo '{"kind":"failed","message":"no such luck"}' >&4`, "exit 1"],
    { because: "no such luck" },
  ],
  ["is killed", ["kill -SEGV $$"], { signal: "SIGSEGV" }],
])("a program that %s leaves the link that serves alone", async (_what, script, said) => {
  await startOwn();
  writeProgram(...script);
  supervisor.replace();
  expect(await untilLogged("link-not-replaced")).toMatchObject(said);
  expect(supervisor.version).toBe(version);
  expect(events()).toEqual(["link-not-replaced"]);
});

test.each([
  ["is not there", undefined, "ENOENT"],
  ["may not be executed", 0o644, "EACCES"],
])("a program that %s leaves the link that serves alone", async (_what, mode, code) => {
  await startOwn();
  if (mode !== undefined) writeFileSync(program, "#!/bin/sh\n", { mode });
  supervisor.replace();
  const said = await untilLogged("link-not-started");
  expect(said).toMatchObject({ program });
  expect(said["because"]).toContain(code);
  expect(supervisor.version).toBe(version);
});

test("a program that never loads is given linkReadyMs", async () => {
  await startOwn();
  Object.assign(initLimits, { linkReadyMs: 200 });
  writeProgram(serve);
  supervisor.replace();
  const said = await untilLogged("link-not-replaced");
  expect(said).toMatchObject({ because: "not up after 200 ms" });
  expect(supervisor.version).toBe(version);
});

test("of a program's reports linkReportBytesMax are read", async () => {
  await startOwn();
  Object.assign(initLimits, { linkReadyMs: 500 });
  const noise = `head -c ${initLimits.linkReportBytesMax + 1} /dev/zero | tr '\\0' '\\n' >&4`;
  writeProgram(noise, "sleep 0.1", ready, awaitGo, listening, serve);
  supervisor.replace();
  await untilLogged("link-not-replaced");
  expect(supervisor.version).toBe(version);
});

test.each([
  ["ends instead of listening", [ready, awaitGo, "exit 3"], { exit_code: 3 }, 20_000],
  ["ends while it waits for its turn", [ready, "exit 3"], { exit_code: 3 }, 20_000],
  ["does not listen in time", [ready, awaitGo, serve], { because: "not up after 300 ms" }, 300],
  ["listens and ends at once", [ready, awaitGo, listening, "exit 3"], { exit_code: 3 }, 20_000],
] as const)(
  "a program that %s gives way to the keeper's own",
  async (_what, script, said, listenMs) => {
    await startOwn();
    Object.assign(initLimits, { linkListenMs: listenMs });
    writeProgram(...script);
    supervisor.replace();
    await untilLogged("link-fell-back");
    Object.assign(initLimits, limitsBefore);
    await untilVersion(version);
    expect(await untilLogged("link-ended")).toMatchObject(said);
  },
);

test("a program that has lasted is started again when it dies", async () => {
  await startOwn();
  Object.assign(initLimits, { linkHealthyMs: 0 });
  writeProgram(ready, awaitGo, listening, `echo x >> ${folder}/runs`, "sleep 0.2");
  supervisor.replace();
  await until(() => lines.filter(({ event }) => event === "link-ended").length === 2, "ends");
  expect(readFileSync(join(folder, "runs"), "utf8")).toBe("x\nx\n");
  expect(events()).not.toContain("link-fell-back");
});

test("asked again meanwhile, it takes what is there after that", async () => {
  await startOwn();
  writeProgram("sleep 0.3", ready, awaitGo, listening, serve);
  supervisor.replace();
  await Bun.sleep(50);
  rmSync(program);
  writeProgram(ready.replace("9.9.9", "9.9.10"), awaitGo, listening, serve);
  supervisor.replace();
  await untilVersion("9.9.10");
  expect(events()).toContain("link-replaced");
});

test("a link that cannot read its plan says so, and is tried again after pauses that grow", async () => {
  supervisor = superviseWith(linkPlanVersion + 1);
  supervisor.start();
  await until(() => lines.length >= 3, "link-ended");
  const [first = 0, second = 0, third = 0] = loggedMs;
  expect(lines[0]).toMatchObject({
    event: "link-ended",
    exit_code: 1,
    because: `The keeper's plan is of version ${linkPlanVersion + 1}, this link reads version ${linkPlanVersion}`,
  });
  // Timers and the clock may differ by a millisecond.
  expect(second - first).toBeGreaterThan(initLimits.linkRestartPauseMs - 2);
  expect(third - second).toBeGreaterThan(2 * initLimits.linkRestartPauseMs - 2);
});

test.each([0, linkPlanVersion + 1])("a plan of version %p is a LinkPlanError", (planVersion) => {
  expect(() => decodeLinkPlan(JSON.stringify({ planVersion }))).toThrow(LinkPlanError);
});
