import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { connectTcp, connectUnix, listenTcp } from "../../src/system/tcp-stream.ts";
import { freePort } from "../support/free-port.ts";
import { linkPid } from "../support/link-pid.ts";
import { type LocalFly, startLocalFly } from "../support/local-fly.ts";
import { type LocalVault, makeLocalVault } from "../support/local-vault.ts";
import { programEnv, programPath } from "../support/program.ts";
import { makeRootfsArchive } from "../support/rootfs-archive.ts";
import { until } from "../support/ssh-laptop.ts";

setDefaultTimeout(120_000);

/** The compiled program and a machine that it provisioned: every kind of forward at once. */
let fly: LocalFly;
let vault: LocalVault;

beforeAll(async () => {
  fly = await startLocalFly();
  vault = await makeLocalVault(fly, await fly.createTenant("acme"));
  await vault.configure({
    rootfs: await makeRootfsArchive(fly.folder, { format: "tar.gz", files: {} }),
  });
  await vault.client(["exec", "dev", "--", "true"]);
});
afterAll(async () => fly.stop());

async function get(url: string): Promise<string> {
  return (await fetch(url)).text();
}

/** `fly-vault forward …`, and its lines as they come. */
class Forwarding implements AsyncDisposable {
  readonly #child: Bun.Subprocess<"ignore", "pipe", "ignore">;
  lines = "";

  constructor(words: readonly string[]) {
    this.#child = Bun.spawn([programPath("fly-vault"), "forward", ...words], {
      env: programEnv(vault.env),
      stdio: ["ignore", "pipe", "ignore"],
      cwd: "/",
    });
    void this.#follow();
  }

  async until(pattern: RegExp): Promise<RegExpExecArray> {
    for (let tries = 0; tries < 400; tries++) {
      const match = pattern.exec(this.lines);
      if (match !== null) return match;
      await Bun.sleep(50);
    }
    throw new Error(`Never ${pattern}:\n${this.lines}`);
  }

  async stop(): Promise<number> {
    this.#child.kill("SIGINT");
    return this.#child.exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.exited;
  }

  async #follow(): Promise<void> {
    const decoder = new TextDecoder();
    for await (const bytes of this.#child.stdout)
      this.lines += decoder.decode(bytes, { stream: true });
  }
}

test("ports and sockets both ways, changed from outside, kept while the link is killed", async () => {
  const web = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response("from here") });
  const socket = join(fly.folder, "x.sock");
  await using running = new Forwarding([
    "dev",
    `0:127.0.0.1:${web.port}`,
    `${socket}:/run/none.sock`,
    "-R",
    `0:127.0.0.1:${web.port}`,
    "-D",
    "0",
  ]);
  const [, local] = await running.until(/127\.0\.0\.1:(\d+) → dev 127\.0\.0\.1:\d+ {3}up/);
  const [, remote = ""] = await running.until(/dev 127\.0\.0\.1:(\d+) → 127\.0\.0\.1:\d+ {3}up/);
  const [, socks] = await running.until(/127\.0\.0\.1:(\d+) → dev \(SOCKS\) {3}up/);
  expect(await get(`http://127.0.0.1:${local}/`)).toBe("from here");
  const inside = ["exec", "dev", "--", "busybox", "wget", "-qO-", `http://127.0.0.1:${remote}/`];
  expect((await vault.client(inside)).text).toBe("from here");
  const curl = Bun.spawn(
    ["curl", "-s", "--socks5-hostname", `127.0.0.1:${socks}`, `http://localhost:${web.port}/`],
    { env: programEnv() },
  );
  expect(await curl.stdout.text()).toBe("from here");
  const refused = await connectUnix(socket);
  expect(await refused.read().catch(() => "given up")).not.toBeInstanceOf(Uint8Array);

  const added = await vault.client(["forward", "add", "dev", `0:localhost:${web.port}`]);
  expect(added.text).toMatch(/→ dev localhost:\d+ {3}up/);
  expect((await vault.client(["forward", "ls"])).text.split("\n")).toHaveLength(7);

  const link = linkPid(fly.folder) ?? 0;
  expect(link).toBeGreaterThan(1);
  process.kill(link, "SIGKILL");
  await running.until(/waiting \(link down\)/);
  expect((await vault.client(inside)).text).toBe("from here");
  expect(await get(`http://127.0.0.1:${local}/`)).toBe("from here");
  await running.until(new RegExp(`dev 127\\.0\\.0\\.1:${remote} .*waiting[^]*:${remote} .*up`));
  expect(await running.stop()).toBe(130);
  // The machine hears of it a little later.
  const isOpen = async (): Promise<boolean> =>
    connectTcp({ host: "127.0.0.1", port: Number(remote) }).then(
      (stream) => (stream.abort(0), true),
      () => false,
    );
  await until(async () => !(await isOpen()));
  await web.stop(true);
});

test("-W and ports, as another program's ProxyCommand has it", async () => {
  const echo = listenTcp(
    { host: "127.0.0.1", port: 0 },
    {
      onConnection: (stream) => {
        const answer = async (): Promise<void> => {
          for (let bytes = await stream.read(); bytes !== null; bytes = await stream.read())
            await stream.write(bytes);
          await stream.end();
        };
        answer().catch(() => undefined);
      },
    },
  );
  const question = crypto.getRandomValues(new Uint8Array(60_000));
  const words = ["connect", "dev", "-W", `localhost:${echo.port}`];
  const { exitCode, stdout, stderr } = await vault.client(words, { stdin: question });
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
  expect(Buffer.from(stdout).equals(question)).toBe(true);
  echo.close();
});

test("a server in a console is on the same port here, until it ends", async () => {
  const port = freePort();
  const terminal = vault.terminal(["connect", "dev"]);
  await terminal.expect(/# /);
  // The machine shares our network: its server is at an address that forwards do not take.
  terminal.type(`echo served >/tmp/index.html; httpd -f -p 127.0.0.2:${port} -h /tmp & true\r`);
  await terminal.expect(new RegExp(`port ${port} \\(httpd\\) → localhost:${port} `));
  expect(await get(`http://127.0.0.1:${port}/`)).toBe("served\n");
  const listed = await vault.client(["ports", "dev"]);
  expect(listed.text).toContain(`${port}  127.0.0.2  httpd`);
  terminal.type("kill %1; exit\r");
  expect(await terminal.exited).toBe(0);
});
