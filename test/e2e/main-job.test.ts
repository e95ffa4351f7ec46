import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash, randomBytes } from "node:crypto";
import { freePort } from "../support/free-port.ts";
import { type LocalFly, startLocalFly, type Tenant } from "../support/local-fly.ts";
import { type LocalVault, makeLocalVault } from "../support/local-vault.ts";
import { programEnv, programPath } from "../support/program.ts";
import { makeRootfsArchive } from "../support/rootfs-archive.ts";

/** The whole path with the compiled program: local Fly, tenant, provision, commands, console, forward. */
let fly: LocalFly;
let tenant: Tenant;
let vault: LocalVault;

beforeAll(async () => {
  fly = await startLocalFly();
  tenant = await fly.createTenant("acme");
  vault = await makeLocalVault(fly, tenant);
  const rootfs = await makeRootfsArchive(fly.folder, {
    format: "tar.zst",
    files: { "/etc/release": "first\n" },
  });
  await vault.configure({ rootfs });
  const first = await vault.client(["exec", "dev", "--", "cat", "/etc/release"]);
  if (first.text !== "first\n") throw new Error(`first provision: ${first.stderr}`);
});

afterAll(async () => {
  await fly.stop();
});

describe("exec is a pipe", () => {
  test("binary stdin comes back unchanged, with its end", async () => {
    const bytes = randomBytes(20 * 1024 * 1024);
    const result = await vault.client(["exec", "dev", "--", "cat"], { stdin: bytes });
    expect(result.stderr).toBe("");
    expect(sha256(result.stdout)).toBe(sha256(bytes));
    expect(result.exitCode).toBe(0);
  });

  test("stdout and stderr stay apart and the exit status is exact", async () => {
    const script = "printf out; printf err >&2; exit 42";
    const result = await vault.client(["exec", "dev", "--", "sh", "-c", script]);
    expect([result.text, result.stderr, result.exitCode]).toEqual(["out", "err", 42]);
  });

  test("a command killed by signal n ends with 128+n", async () => {
    const result = await vault.client(["exec", "dev", "--", "sh", "-c", "kill -9 $$"]);
    expect(result.exitCode).toBe(137);
  });

  test("arguments arrive as they were given", async () => {
    const words = ["a b", "", "$HOME", "'quoted\"", "ünïcode", "--help"];
    const result = await vault.client(["exec", "dev", "--", "printf", "[%s]", ...words]);
    expect(result.text).toBe(words.map((word) => `[${word}]`).join(""));
  });

  test("a command that is not there ends with 127 and says so", async () => {
    const result = await vault.client(["exec", "dev", "--", "no-such-command"]);
    expect(result.exitCode).toBe(127);
    expect(result.stderr).toContain("no-such-command");
    expect(result.stderr).toContain("FV-EXE-003");
  });

  test("2 MiB on stderr are all there before exit 7", async () => {
    const script = "dd if=/dev/zero bs=1024 count=2048 2>/dev/null | tr '\\0' e >&2; exit 7";
    const result = await vault.client(["exec", "dev", "--", "sh", "-c", script]);
    expect(result.stderr.length).toBe(2 * 1024 * 1024);
    expect(result.exitCode).toBe(7);
  });
});

describe("the machine inside", () => {
  test("sees neither Fly's socket, nor init's folders, nor the token", async () => {
    const script = "ls -a / ; env; cat /proc/1/environ; ls /data /.fly 2>&1";
    const result = await vault.client(["exec", "dev", "--", "sh", "-c", script]);
    expect(result.text).not.toContain(tenant.accessToken);
    expect(result.text).not.toContain("FLY_");
    expect(result.text.split("\n")).not.toContain(".fly");
    expect(result.text).toContain("No such file");
  });

  test("has its own process tree", async () => {
    const result = await vault.client(["exec", "dev", "--", "sh", "-c", "ps | wc -l"]);
    expect(Number(result.text)).toBeLessThan(12);
  });
});

describe("connect on a terminal", () => {
  test("is a console with a size, and its exit status is the shell's", async () => {
    const terminal = vault.terminal(["connect", "dev"]);
    await terminal.expect(/vault# /);
    terminal.type("stty size; tty\r");
    await terminal.expect(/30 100\r?\n[^]*\/dev\/pts\/\d+/);
    terminal.resize(120, 40);
    // The size arrives by a way of its own.
    terminal.type('until [ "$(stty size | tr " " x)" = 40x120 ]; do sleep 0.1; done; stty size\r');
    await terminal.expect(/40 120/);
    terminal.type("exit 9\r");
    expect(await terminal.exited).toBe(9);
  });

  test("~. leaves, and the shell is still there for the next connect", async () => {
    const first = vault.terminal(["connect", "dev"]);
    await first.expect(/vault# /);
    first.type("mark=still-the-same-shell\r");
    await first.expect(/mark=still[^]*vault# /);
    first.type("~.");
    await first.exited;
    const second = vault.terminal(["connect", "dev"]);
    await Bun.sleep(500);
    second.type("echo $mark\r");
    await second.expect(/\nstill-the-same-shell/);
    second.type("exit\r");
    expect(await second.exited).toBe(0);
  });
});

test("connect --forward carries a page from a server inside", async () => {
  const serve =
    "mkdir -p /tmp/www; echo inside > /tmp/www/index.html; httpd -p 127.0.0.1:3000 -h /tmp/www";
  await vault.client(["exec", "dev", "--", "sh", "-c", serve]);
  const port = freePort();
  const child = Bun.spawn(
    [programPath("fly-vault"), "connect", "dev", "--forward", `${port}:localhost:3000`],
    {
      cwd: "/",
      env: programEnv(vault.env),
      stdin: "pipe",
      stdout: "ignore",
      stderr: "ignore",
    },
  );
  try {
    expect(await fetchWithin(`http://127.0.0.1:${port}/`, 30_000)).toBe("inside\n");
  } finally {
    child.kill("SIGTERM");
    await child.exited;
  }
});

test("--reprovision replaces the root filesystem and keeps /root and /home", async () => {
  await vault.client([
    "exec",
    "dev",
    "--",
    "sh",
    "-c",
    "echo kept > /root/kept; echo kept > /home/dev/kept; echo gone > /etc/gone",
  ]);
  const rootfs = await makeRootfsArchive(fly.folder, {
    format: "tar.gz",
    files: { "/etc/release": "second\n" },
  });
  await vault.configure({ rootfs });
  const connected = await vault.client(["connect", "dev", "--reprovision"], { stdin: "exit\n" });
  expect(connected.exitCode).toBe(0);
  const script = "cat /etc/release /root/kept /home/dev/kept; test -e /etc/gone || echo clean";
  const result = await vault.client(["exec", "dev", "--", "sh", "-c", script]);
  expect(result.text).toBe("second\nkept\nkept\nclean\n");
});

test("a machine that is stopped and started again comes back with its root filesystem", async () => {
  expect((await machineCall("stop")).status).toBe(200);
  expect((await machineCall("wait?state=stopped&timeout=30")).status).toBe(200);
  const stopped = await vault.client(["exec", "dev", "--", "true"]);
  expect(stopped.exitCode).toBe(6);
  expect(stopped.stderr).toContain("FV-NET-002");
  expect((await machineCall("start")).status).toBe(200);
  expect((await machineCall("wait?state=started&timeout=30")).status).toBe(200);
  const result = await vault.client(["exec", "dev", "--", "cat", "/root/kept"]);
  expect(result.text).toBe("kept\n");
});

async function machineCall(path: string): Promise<Response> {
  return fetch(`${fly.apiBase}/v1/apps/${tenant.app}/machines/${tenant.machineId}/${path}`, {
    method: path.startsWith("wait") ? "GET" : "POST",
    headers: { authorization: `Bearer ${fly.apiToken}` },
  });
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

async function fetchWithin(url: string, withinMs: number): Promise<string> {
  const endMs = performance.now() + withinMs;
  for (;;) {
    try {
      return await (await fetch(url)).text();
    } catch (error) {
      if (performance.now() > endMs) throw error;
      await Bun.sleep(50);
    }
  }
}
