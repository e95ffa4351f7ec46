import {
  afterAll,
  afterEach,
  beforeAll,
  beforeEach,
  expect,
  setDefaultTimeout,
  test,
} from "bun:test";
import {
  copyFileSync,
  linkSync,
  mkdtempSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import packageJson from "../../package.json" with { type: "json" };
import { closeCodes } from "../../src/quic/connection.ts";
import { quicLimits } from "../../src/quic/limits.ts";
import { compileBinary } from "../../build/binary.ts";
import { seed, seededRandom } from "../support/seed.ts";
import { EchoStream, LineStream, openClient, ShellTalk } from "./link-load.ts";
import { AttackStage } from "./stage.ts";

setDefaultTimeout(120_000);

/** Two compiled programs of different versions; the second takes the first one's place on disk. */
let builds: string;
let folder: string;
let program: string;
let stage: AttackStage;

beforeAll(async () => {
  builds = mkdtempSync(join(tmpdir(), "fv-builds-"));
  await compileBinary(join(builds, "this"));
  await compileBinary(join(builds, "next"), { version: "9.9.9" });
});

afterAll(() => {
  rmSync(builds, { recursive: true });
});

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "fv-program-"));
  // Named as an image may name it: then the name and the first word both say the role.
  program = join(folder, "init");
  linkSync(join(builds, "this"), program);
  stage = await AttackStage.open({ starter: ["sh", "-c", 'exec "$0"', program] });
});

afterEach(async () => {
  await stage.close();
  rmSync(folder, { recursive: true });
});

/** As an operator does: written aside, renamed, and the keeper told. */
function replaceProgram(write: (path: string) => void): void {
  const aside = join(folder, "aside");
  write(aside);
  renameSync(aside, program);
  process.kill(stage.machine.pid, "SIGHUP");
}

function executableOf(pid: number): string {
  return readlinkSync(`/proc/${pid}/exe`);
}

test("a newer link takes over while sessions run and clients stream", async () => {
  const [first, second, third] = [
    await openClient(stage),
    await openClient(stage),
    await openClient(stage),
  ];
  const shell = new ShellTalk(first);
  const lines = await LineStream.begin(second);
  const echo = await EchoStream.begin(third, seededRandom(seed));
  await shell.ask();
  const before = stage.machine.linkPid();
  expect(await stage.machine.status()).toMatchObject({
    init_version: packageJson.version,
    link_version: packageJson.version,
  });

  const askedMs = performance.now();
  replaceProgram((path) => linkSync(join(builds, "next"), path));
  await stage.machine.untilLogged('"event":"link-replaced"');
  const after = stage.machine.linkPid();
  expect(after).not.toBe(before);
  expect(executableOf(after)).toBe(program);
  expect(statSync(`/proc/${after}/exe`).ino).toBe(statSync(join(builds, "next")).ino);
  expect(executableOf(stage.machine.pid)).toBe(`${program} (deleted)`);
  expect(await stage.machine.status()).toMatchObject({
    init_version: packageJson.version,
    link_version: "9.9.9",
  });
  await shell.ask();
  const sessions = [shell, lines, echo].map(({ session }) => session);
  while (!sessions.every(({ comebacks }) => comebacks.length > 0)) await Bun.sleep(10);
  const backMs = Math.max(...sessions.map(({ comebacks: [at = 0] }) => at - askedMs));
  console.log(`all three clients are with the new link after ${Math.round(backMs)} ms`);
  // They were told, and did not find out by silence; a busy machine gets slack.
  expect(backMs).toBeLessThan(quicLimits.idleMs / 2);

  // Sessions are started as before, although the keeper's own file is gone.
  expect((await stage.machine.shell("echo new")).stdout).toBe("new\n");
  await shell.finish();
  await Promise.all([lines.finish(stage), echo.finish()]);
  for (const link of [first, second, third]) await link.close();
  expect(stage.machine.log).not.toContain("link-ended");
});

test.each([
  ["a script that fails", "#!/bin/sh\nexit 1\n", 0o755, "link-not-replaced"],
  ["not executable", "#!/bin/sh\nexit 1\n", 0o644, "link-not-started"],
  ["cut short", "\x7fELF", 0o755, "link-not-started"],
])("a new program that is %s leaves link and clients alone", async (_what, text, mode, event) => {
  const client = await openClient(stage);
  const lines = await LineStream.begin(client);
  const before = stage.machine.linkPid();
  replaceProgram((path) => writeFileSync(path, text, { mode }));
  await stage.machine.untilLogged(`"event":"${event}"`);
  expect(stage.machine.linkPid()).toBe(before);
  expect((await stage.machine.status()).link_version).toBe(packageJson.version);
  await lines.finish(stage);
  expect(lines.session.comebacks).toEqual([]);

  // Nor is it taken when the link dies: that comes back as what the keeper is.
  process.kill(before, "SIGKILL");
  await stage.machine.untilNewLink(before);
  expect(executableOf(stage.machine.linkPid())).toBe(`${program} (deleted)`);
  await client.close();
});

test("a new link that fails once it has taken over gives way to the keeper's own", async () => {
  const client = await openClient(stage);
  const lines = await LineStream.begin(client);
  const ready = `echo '{"kind":"ready","version":"9.9.10"}' >&4`;
  const script = `#!/bin/sh\n${ready}\nhead -c 65 <&3 >/dev/null\nexit 1\n`;
  replaceProgram((path) => writeFileSync(path, script, { mode: 0o755 }));
  await stage.machine.untilLogged('"event":"link-fell-back"');
  const isOwn = async (): Promise<boolean> =>
    (await stage.machine.status()).link_version === packageJson.version;
  while (!(await isOwn())) await Bun.sleep(10);
  expect(executableOf(stage.machine.linkPid())).toBe(`${program} (deleted)`);
  while (lines.session.comebacks.length === 0) await Bun.sleep(10);
  await lines.finish(stage);
  await client.close();
});

test("a client is told that nothing is wrong, and the way back is the same way", async () => {
  const connection = await stage.logIn();
  replaceProgram((path) => linkSync(join(builds, "next"), path));
  await stage.machine.untilLogged('"version":"9.9.9"');
  const { done: code } = closeCodes;
  expect(await connection.closed).toMatchObject({ kind: "peer-application", code });
  replaceProgram((path) => copyFileSync(join(builds, "this"), path));
  await stage.machine.untilLogged(`"version":"${packageJson.version}"`);
  expect((await stage.machine.status()).link_version).toBe(packageJson.version);
});
