import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { createHash, randomBytes } from "node:crypto";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { basename, join } from "node:path";
import type { ByteStream } from "../../../../src/protocol/byte-stream.ts";
import { clientLimits } from "../../../../src/roles/client/limits.ts";
import { raiseDescriptorLimit } from "../../../../src/system/descriptor-limit.ts";
import { connectUnix } from "../../../../src/system/tcp-stream.ts";
import { spawnClient } from "../../../support/client-process.ts";
import { LinkStage, until } from "../../../support/link-stage.ts";
import { run } from "../../../support/program.ts";
import { PtyClient } from "../../../support/pty-client.ts";
import { testToken } from "../../../support/test-vault.ts";

let stage: LinkStage;
beforeAll(async () => {
  stage = await LinkStage.open();
});
afterEach(async () => {
  await stage.stop();
  stage.vault.forgetConnections();
  stage.vault.token = testToken;
  await stage.vault.configure({});
});
afterAll(async () => {
  await stage.close();
});

test("later commands use the link of the first, and stop ends it", async () => {
  const first = await stage.exec([
    "-v",
    "--timing",
    "--",
    "sh",
    "-c",
    "echo out; echo err >&2; exit 3",
  ]);
  expect(first).toMatchObject({ code: 3, text: "out\n" });
  expect(first.err).toContain("attested by");
  expect(first.err).toContain("connected: quic");
  expect(first.err).toContain("err\n");
  expect(first.err).toMatch(
    /^start \d+ · dns \d+ · quic \d+ · attest \d+ · auth \d+ · spawn \d+ · total \d+ ms \(link: new\)$/m,
  );
  const second = await stage.exec(["-v", "--timing", "--", "echo", "again"]);
  expect(second).toMatchObject({ code: 0, text: "again\n" });
  expect(second.err).toMatch(/link: reused, attested .* ago\nattested by/);
  expect(second.err).toMatch(/^total \d+ ms \(link: reused\)$/m);
  expect(stage.vault.connectionCount).toBe(1);

  let [link] = await stage.links();
  for (let looks = 0; link?.clients !== 0 && looks < 50; looks += 1) [link] = await stage.links();
  expect(link).toMatchObject({ vault: "dev", state: "up", clients: 0, streams: 0 });
  expect(stage.processes()).toEqual([link?.pid ?? 0]);
  expect((await stage.run(["link", "ls"])).text).toMatch(/^VAULT +MACHINE +STATE .*\ndev +148e/);
  for (const verb of ["ls", "stop"])
    expect((await stage.run(["link", verb, "other"])).stderr).toBe(
      'no background link of "other"\n',
    );
  expect((await stage.run(["link", "stop", "dev"])).stderr).toBe("stopped 1 link\n");
  await until(() => stage.processes().length === 0);
  expect(await stage.links()).toEqual([]);
  expect(readdirSync(stage.folder)).toEqual([]);
});

test("commands that come at once start one link", async () => {
  const results = await Promise.all([1, 2, 3, 4].map(() => stage.exec(["--", "echo", "x"])));
  expect(results.map(({ code, text, err }) => [code, text, err])).toEqual(
    results.map(() => [0, "x\n", ""]),
  );
  expect(stage.vault.connectionCount).toBe(1);
  expect(stage.processes()).toHaveLength(1);
});

test("a link that is killed in the middle of a transfer costs no byte", async () => {
  const bytes = randomBytes(12_000_000);
  await stage.exec(["--", "true"]);
  const child = spawnClient(["exec", "dev", "--", "cat"], stage.env);
  const hash = createHash("sha256");
  let received = 0;
  let killed = 0;
  const reading = (async () => {
    for await (const chunk of child.stdout) {
      hash.update(chunk);
      received += chunk.length;
      if (received > 3_000_000 * (killed + 1) && killed < 2) {
        killed += 1;
        const [pid = 0] = stage.processes();
        if (pid > 1) process.kill(pid, "SIGKILL");
        await until(() => !stage.processes().includes(pid));
      }
    }
  })();
  for (let at = 0; at < bytes.length; at += 65_536) {
    await child.stdin.write(bytes.subarray(at, at + 65_536));
    await child.stdin.flush();
  }
  await child.stdin.end();
  await reading;
  expect(await child.stderr.text()).toBe("");
  expect(await child.exited).toBe(0);
  expect(killed).toBe(2);
  expect(received).toBe(bytes.length);
  expect(hash.digest("hex")).toBe(createHash("sha256").update(bytes).digest("hex"));
  // What the killed ones left behind is gone, too.
  expect(await stage.links()).toHaveLength(1);
  expect(readdirSync(stage.folder).filter((name) => name.endsWith(".sock"))).toHaveLength(1);
});

test("a console goes on when its link is killed", async () => {
  const client = new PtyClient(["connect", "dev"], stage.env);
  try {
    client.type("echo be$((1+1))fore\n");
    await client.shows(/be2fore/);
    const pid = await stage.kill("SIGKILL");
    client.type("echo af$((1+1))ter\n");
    await client.shows(/af2ter/);
    expect(await stage.pid()).not.toBe(pid);
    client.type("exit 4\n");
    expect(await client.exited()).toBe(4);
  } finally {
    client.close();
  }
});

test("a lost connection is told to the commands, which go on over the next one", async () => {
  const client = new PtyClient(["connect", "dev"], stage.env);
  try {
    client.type("echo be$((1+1))fore\n");
    await client.shows(/be2fore/);
    await stage.vault.restartLink();
    client.type("echo af$((1+1))ter\n");
    await client.shows(/af2ter/);
    client.type("exit\n");
    expect(await client.exited()).toBe(0);
    expect(stage.processes()).toHaveLength(1);
  } finally {
    client.close();
  }
});

test("a refused token ends the first command with the same words as without a link", async () => {
  stage.vault.token = "another token, which is long enough";
  const alone = await stage.exec(["--no-link", "--", "true"]);
  const shared = await stage.exec(["--", "true"]);
  expect(alone.code).toBe(4);
  expect(shared).toEqual(alone);
  await until(() => stage.processes().length === 0);
});

test("a token that is refused after a loss ends the commands that are there", async () => {
  const client = spawnClient(["exec", "dev", "--", "sleep", "30"], stage.env);
  await until(() => stage.vault.sessions.size > 0);
  stage.vault.token = "another token, which is long enough";
  await stage.vault.restartLink();
  expect(await client.exited).toBe(4);
  expect(await client.stderr.text()).toContain("FV-AUTH-001");
  await until(() => stage.processes().length === 0);
});

test("it ends when nobody has used it for link_idle", async () => {
  await stage.vault.configure({ link_idle: "400ms" });
  expect((await stage.exec(["--timing", "--", "true"])).err).toContain("(link: new)");
  await until(() => stage.processes().length === 0);
  await stage.vault.configure({ link_idle: "0s" });
  await stage.exec(["--", "true"]);
  expect(stage.processes()).toHaveLength(0);
});

test("another configuration or token never meets the old link, which ends", async () => {
  await stage.exec(["--", "true"]);
  await stage.vault.configure({ transport: "quic" });
  await stage.exec(["--", "true"]);
  expect(stage.vault.connectionCount).toBe(2);
  // The one of the old configuration finds out by itself.
  await until(() => stage.processes().length === 1);
  const wrong = await stage.exec(["--", "true"], { FLY_VAULT_TOKEN: "quite another token" });
  expect(wrong.code).toBe(4);
  expect(stage.vault.connectionCount).toBe(2);
});

test("what is not about trust leaves the link alone", async () => {
  await stage.exec(["--", "true"]);
  await stage.vault.configure({ forward: ["3000"], rootfs: "/nowhere.tar" });
  await stage.exec(["--", "true"]);
  expect(stage.vault.connectionCount).toBe(1);
});

test("logout ends it: by SIGHUP, and by the folder that goes", async () => {
  await stage.exec(["--", "true"]);
  await stage.kill("SIGHUP");
  await stage.exec(["--", "true"]);
  for (const name of readdirSync(stage.folder))
    if (!name.endsWith(".lock")) rmSync(join(stage.folder, name), { recursive: true });
  await until(() => stage.processes().length === 0);
});

test("the token is in no argument and no environment of the link", async () => {
  await stage.vault.configure({ access_token: undefined });
  await stage.exec(["--", "true"], { FLY_VAULT_TOKEN: testToken });
  const pid = await stage.pid();
  for (const file of ["cmdline", "environ"])
    expect(readFileSync(`/proc/${pid}/${file}`, "utf8")).not.toContain(testToken);
  const files = readdirSync(stage.folder, { withFileTypes: true }).filter((one) => one.isFile());
  for (const { name } of files)
    expect(readFileSync(join(stage.folder, name), "utf8")).not.toContain(testToken);
});

test("a token that a program is asked for is asked for once", async () => {
  const count = join(stage.vault.folder, "asked");
  writeFileSync(count, "");
  const command = ["sh", "-c", `echo x >> ${count}; printf '%s' '${testToken}'`];
  const toml = readFileSync(stage.vault.configPath, "utf8").replace(/access_token = .*\n/, "");
  writeFileSync(
    stage.vault.configPath,
    `${toml}token = { command = ${JSON.stringify(command)} }\n`,
  );
  await stage.exec(["--", "true"]);
  await stage.exec(["--", "true"]);
  expect(stage.vault.connectionCount).toBe(1);
  expect(readFileSync(count, "utf8")).toBe("x\n");
});

test("a folder that others may use is not used, and a warning says so", async () => {
  await stage.exec(["--", "true"]);
  await stage.stop();
  chmodSync(stage.folder, 0o755);
  try {
    const result = await stage.exec(["--", "echo", "x"]);
    expect(result).toMatchObject({ code: 0, text: "x\n" });
    expect(result.err).toContain("warning: no background link: others may use");
    expect(stage.processes()).toEqual([]);
    expect((await stage.run(["link", "ls"])).stderr).toContain("FV-SYS-001");
  } finally {
    chmodSync(stage.folder, 0o700);
  }
});

test("a home with a long name still has a link", async () => {
  const home = join(stage.vault.folder, "h".repeat(100));
  const env = { XDG_RUNTIME_DIR: "", XDG_STATE_HOME: home };
  await stage.exec(["--", "true"], env);
  await stage.exec(["--", "true"], env);
  expect(stage.vault.connectionCount).toBe(1);
  await stage.run(["link", "stop", "dev"], env);
  const folder = `/tmp/fly-vault-${process.geteuid?.()}`;
  expect(existsSync(folder)).toBe(true);
  if (readdirSync(folder).length === 0) rmdirSync(folder);
});

test("no link in CI unless it is asked for, and none with --no-link or the variable", async () => {
  for (const [argv, env, count] of [
    [[], { CI: "true" }, 0],
    [["--no-link"], {}, 0],
    [[], { FLY_VAULT_NO_LINK: "1" }, 0],
    [["--link"], { CI: "true", FLY_VAULT_NO_LINK: "1" }, 1],
  ] as const) {
    expect((await stage.exec([...argv, "--", "true"], env)).code).toBe(0);
    expect(stage.processes()).toHaveLength(count);
  }
});

test("a machine that was cold when the link was made is not taken for cold later", async () => {
  stage.vault.vmState = "cold";
  expect((await stage.run(["list-exec", "dev"])).exitCode).toBe(0);
  stage.vault.vmState = "ready";
  expect((await stage.exec(["--", "true"])).code).toBe(0);
  expect(stage.vault.connectionCount).toBe(1);
});

test("a token that was set, a vault that was taken out, a machine that was switched off: the link ends", async () => {
  const start = async (): Promise<void> => {
    expect((await stage.exec(["--", "true"])).code).toBe(0);
    expect(stage.processes()).toHaveLength(1);
  };
  await start();
  // Of another configuration, which has a vault of the same name.
  const other = join(stage.vault.folder, "other.toml");
  copyFileSync(stage.vault.configPath, other);
  expect((await stage.exec(["--", "true"], { FLY_VAULT_CONFIG: other })).code).toBe(0);
  const before = stage.processes();
  const file = join(stage.vault.folder, "new-token");
  writeFileSync(file, testToken, { mode: 0o600 });
  expect(
    (await stage.run(["token", "set", "dev", "--token-file", file, "--token-store", "config"]))
      .exitCode,
  ).toBe(0);
  await until(() => stage.processes().length === 1);
  expect(before).toContain(stage.processes()[0] ?? 0);
  await stage.stop();
  await start();
  expect((await stage.run(["stop", "dev", "--yes"])).exitCode).toBe(0);
  await until(() => stage.processes().length === 0);
  await start();
  expect((await stage.run(["trust", "dev", "--yes"])).exitCode).toBe(0);
  await until(() => stage.processes().length === 0);
  await start();
  expect((await stage.run(["vault", "rm", "dev", "--yes"])).exitCode).toBe(0);
  await until(() => stage.processes().length === 0);
});

test("what is verified is never what a link has proven before", async () => {
  await stage.exec(["--", "true"]);
  expect((await stage.run(["verify", "dev", "--link"])).exitCode).toBe(0);
  expect(stage.vault.connectionCount).toBe(2);
  expect((await stage.exec(["--timing", "--", "true"])).err).toContain("(link: reused)");
});

test("a machine that is gone is not called up by the link that still stands", async () => {
  await stage.exec(["--", "true"]);
  expect((await stage.run(["wake", "dev"])).exitCode).toBe(0);
  const asked = stage.vault.requests.filter(({ type }) => type === "status").length;
  expect((await stage.run(["wake", "dev"])).exitCode).toBe(0);
  expect(stage.vault.requests.filter(({ type }) => type === "status").length).toBeGreaterThan(
    asked,
  );
});

test("a configuration that is named from the current folder has a link that stays", async () => {
  const options = {
    cwd: stage.vault.folder,
    env: { ...stage.env, FLY_VAULT_CONFIG: basename(stage.vault.configPath) },
  };
  expect((await run("fly-vault", ["exec", "dev", "true"], options)).exitCode).toBe(0);
  const pids = stage.processes();
  expect(pids).toHaveLength(1);
  await Bun.sleep(clientLimits.linkLookMs * 2.5);
  expect(stage.processes()).toEqual(pids);
});

test("a link whose socket was cleaned away ends", async () => {
  await stage.exec(["--", "true"]);
  for (const name of readdirSync(stage.folder))
    if (name.endsWith(".sock")) unlinkSync(join(stage.folder, name));
  await until(() => stage.processes().length === 0);
});

test("a link whose queue is full is not taken for one that is gone", async () => {
  await stage.exec(["--", "true"]);
  const pid = await stage.pid();
  const socket = readdirSync(stage.folder).find((name) => name.startsWith(`${pid}-`)) ?? "";
  const path = join(stage.folder, socket);
  raiseDescriptorLimit(2048);
  process.kill(pid, "SIGSTOP");
  const open: ByteStream[] = [];
  for (;;) {
    const stream = await connectUnix(path).catch(() => undefined);
    if (stream === undefined) break;
    open.push(stream);
  }
  try {
    const listing = stage.links();
    await Bun.sleep(300);
    process.kill(pid, "SIGCONT");
    expect(await listing).toMatchObject([{ pid, state: "up" }]);
    expect(existsSync(path)).toBe(true);
  } finally {
    process.kill(pid, "SIGCONT");
    for (const stream of open) stream.abort(0);
  }
});

test("one connection more than the limit is closed at once", async () => {
  await stage.exec(["--", "true"]);
  raiseDescriptorLimit(clientLimits.linkSocketsMax + 512);
  const pid = await stage.pid();
  const socket = readdirSync(stage.folder).find((name) => name.startsWith(`${pid}-`)) ?? "";
  const path = join(stage.folder, socket);
  const open: ByteStream[] = [];
  // Those that say nothing are left after a while, so all are asked to be quick.
  while (open.length < clientLimits.linkSocketsMax) {
    const some = Array.from({ length: 128 }, async () => connectUnix(path));
    for (const one of await Promise.allSettled(some))
      if (one.status === "fulfilled" && open.length < clientLimits.linkSocketsMax)
        open.push(one.value);
  }
  // One that is let in and says nothing goes, too, but later than those that came before it.
  const ended: string[] = [];
  const before = open
    .at(-1)
    ?.read()
    .then(() => ended.push("before"));
  before?.catch(() => undefined);
  const more = connectUnix(path).then((stream) => stream.read());
  expect(await more.catch(() => null)).toBeNull(); // Closed before connect returns, or behind it.
  expect(ended).toEqual([]);
  for (const stream of open) stream.abort(0);
  await Bun.sleep(100);
  expect((await stage.exec(["--timing", "--", "true"])).err).toContain("(link: reused)");
});
