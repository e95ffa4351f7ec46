import { afterAll, afterEach, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { fileURLToPath } from "node:url";
import { connectTcp } from "../../../../src/system/tcp-stream.ts";
import { spawnClient } from "../../../support/client-process.ts";
import { freePort } from "../../../support/free-port.ts";
import { PtyClient } from "../../../support/pty-client.ts";
import { RealVault } from "../../../support/real-vault.ts";
import { TmuxScreen } from "../../../support/tmux-screen.ts";
import { until } from "../forward/forward-stage.ts";

/** Ports that show up beside a console, with a real init and real programs. */

setDefaultTimeout(120_000);

const main = fileURLToPath(new URL("../../../../src/main.ts", import.meta.url));

let vault: RealVault;
let client: PtyClient | undefined;

beforeAll(async () => {
  vault = await RealVault.boot();
});
afterAll(async () => {
  await vault[Symbol.asyncDispose]();
});
afterEach(() => {
  client?.close();
  client = undefined;
});

async function connected(...flags: string[]): Promise<PtyClient> {
  client = new PtyClient(["connect", "dev", ...flags], vault.env);
  await client.shows(/# /);
  return client;
}

/** The vault shares our network: its programs listen on an address that forwards do not take. */
const server = (port: number) => `httpd -f -p 127.0.0.2:${port}`;

async function isOpen(port: number): Promise<boolean> {
  try {
    (await connectTcp({ host: "127.0.0.1", port })).abort(0);
    return true;
  } catch {
    return false;
  }
}

test("a server in the console is told of in one line, is forwarded, and both end with it", async () => {
  const port = freePort();
  const terminal = await connected();
  terminal.type(`${server(port)} & true\r`);
  await terminal.shows(new RegExp(`port ${port} \\(httpd\\) -> localhost:${port}   \\[~P list`));
  expect(await isOpen(port)).toBeTrue();
  const from = terminal.text.length;
  terminal.type("\r~P");
  await terminal.shows(new RegExp(`\n *port ${port} \\(httpd\\) -> localhost:${port}\r`), from);
  terminal.type(`\r~p ${port}\r`);
  await terminal.shows(new RegExp(`port ${port} \\(httpd\\) is not forwarded`), from);
  expect(await isOpen(port)).toBeFalse();
  terminal.type(`\r~p${port}\r`);
  await terminal.shows(/not forwarded[^]*-> localhost/, from);
  expect(await isOpen(port)).toBeTrue();
  terminal.type("kill %1\r");
  let open = true;
  for (const endMs = performance.now() + 10_000; open && performance.now() < endMs;)
    open = await isOpen(port);
  expect(open).toBeFalse();
  terminal.type("\r~.");
  await terminal.exited();
});

test("attach forwards what its session serves, and --auto-forward off does not", async () => {
  const port = freePort();
  const name = `served-${port}`;
  const session = ["sh", "-c", `${server(port)} & echo ready; read x; kill %1`];
  expect((await vault.run(["run", "-t", "dev", "--name", name, "--", ...session])).code).toBe(0);
  client = new PtyClient(["attach", "dev", name, "--auto-forward", "off"], vault.env);
  await client.shows(/ready/);
  client.type("~.");
  await client.exited();
  expect(client.text).not.toContain(`port ${port}`);
  client.close();
  client = new PtyClient(["attach", "dev", name], vault.env);
  await client.shows(new RegExp(`port ${port} \\(httpd\\) -> localhost:${port}`));
  expect(await isOpen(port)).toBeTrue();
  client.type("\r");
  await client.exited();
  expect(await isOpen(port)).toBeFalse();
});

test("a full-screen program is not drawn into: the line waits for its end", async () => {
  const port = freePort();
  const terminal = await connected("--new");
  terminal.type(
    `${server(port)} & printf '\\033[?1049h'; read x; printf '\\033[?1049l'; echo ba''ck\r`,
  );
  await terminal.shows(/\p{Cc}\[\?1049h/u);
  const open = async (): Promise<void> => {
    while (!(await isOpen(port))) await Bun.sleep(20);
  };
  await open();
  await Bun.sleep(400);
  expect(terminal.text).not.toContain(`port ${port}`);
  terminal.type("\r");
  await terminal.shows(new RegExp(`back[^]*port ${port} \\(httpd\\) -> localhost`));
  terminal.type("kill %1; exit\r");
  await terminal.exited();
});

test("the line stands above the prompt, which stays as it was with what is typed there", async () => {
  const port = freePort();
  const env = { ...vault.env, LANG: "C.UTF-8", PATH: "/usr/bin:/bin" };
  const words = [process.execPath, main, "connect", "dev", "--session", "low"];
  const screen = new TmuxScreen(words, { env, cols: 100, rows: 12 });
  try {
    await screen.shows(/^~ #/m);
    // Down to the last row, where there is no room below.
    screen.type(`seq 30; ${server(port)} & true\r`);
    screen.type("echo half");
    const told = `port ${port} \\(httpd\\) → localhost:${port} .*`;
    await screen.shows(new RegExp(`\n30\n${told}\n.*# echo half\\s*$`));
    const rows = screen.text.trimEnd().split("\n");
    expect(screen.cursor.trim()).toBe(`${rows.at(-1)?.length},${rows.length - 1}`);
    screen.type("\u0003kill %1; exit\r");
    await screen.shows(/Pane is dead|^$/m);
  } finally {
    screen.close();
  }
});

test("ports lists what listens; a pipe forwards only where it was asked to", async () => {
  const port = freePort();
  const session = await vault.machine.open({ argv: server(port).split(" ") });
  let out = "";
  while (!out.includes(String(port))) ({ out } = await vault.run(["ports", "dev"]));
  expect(out).toMatch(
    new RegExp(`^PORT +ADDRESS +PROCESS +PID\n(.*\n)*${port} +127.0.0.2 +httpd +\\d+\n`),
  );
  const json = JSON.parse((await vault.run(["ports", "dev", "--json"])).out);
  expect(json).toMatchObject({ schema: "fly-vault/ports", version: 1 });
  expect(json.data).toContainEqual({
    port,
    host: "127.0.0.2",
    process: "httpd",
    pid: expect.any(Number),
  });

  const [unasked, other] = [freePort(), freePort()];
  const serve = (at: number) => ["dev", "--", "sh", "-c", `${server(at)} & read x; kill %1`];
  const quiet = spawnClient(["exec", ...serve(unasked)], vault.env);
  while (!(await vault.run(["ports", "dev"])).out.includes(String(unasked)));
  const asked = spawnClient(["exec", "--auto-forward", "on", ...serve(other)], vault.env);
  let told = "";
  for await (const bytes of asked.stderr) {
    told += new TextDecoder().decode(bytes);
    // Both go on until here, and then to the end.
    if (told.includes(`port ${other} (httpd) -> localhost:${other}\n`))
      for (const { stdin } of [quiet, asked]) await stdin.end();
  }
  expect(told).toContain(`localhost:${other}\n`);
  expect(await asked.exited).toBe(0);
  expect(await quiet.stderr.text()).not.toContain("localhost");
  await session.signal(15);
  await until(() => session.exit !== undefined);
});
