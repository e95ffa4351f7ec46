import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { createHash, randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { freePort } from "../support/free-port.ts";
import { clientProcesses, until, withAgent } from "../support/ssh-laptop.ts";
import {
  residentBytes,
  type SshChild,
  type SshResult,
  type SshStage,
  startSshStage,
} from "../support/ssh-stage.ts";

/** What rides on an SSH connection beside a command, and what such a connection survives. */
let stage: SshStage;
const children: SshChild[] = [];

beforeAll(async () => {
  stage = await startSshStage();
});

afterEach(async () => {
  for (const child of children.splice(0)) {
    child.kill();
    await child.exited;
  }
});

afterAll(async () => {
  await stage.stop();
});

const host = "dev.vault";

describe("forwards", () => {
  /** The machine of these tests has this computer's network. */
  const web = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response("web") });
  afterAll(() => web.stop(true));

  test("-L and -W reach a port there", async () => {
    const port = freePort();
    start(["ssh", "-N", "-L", `${port}:localhost:${web.port}`, host]);
    expect(await (await untilAnswered(`http://127.0.0.1:${port}`)).text()).toBe("web");
    const request = "GET / HTTP/1.0\r\n\r\n";
    const piped = await alone(["-W", `127.0.0.1:${web.port}`, host], request);
    expect(piped.text).toEndWith("web");
  });

  test("-L to a port where nobody is says so, and leaves the connection alone", async () => {
    const refused = await alone(["-W", `127.0.0.1:${freePort()}`, host]);
    expect(refused.code).toBe(255);
    expect(refused.err).toContain("open failed");
  });

  test("-R listens there, on loopback alone, until the connection ends", async () => {
    const child = start(["ssh", "-N", "-v", "-R", `*:0:127.0.0.1:${web.port}`, host]);
    const said = await untilSaid(child, /Allocated port (\d+)/);
    const port = Number(said[1]);
    const get = "printf 'GET / HTTP/1.0\\r\\n\\r\\n'";
    const answer = await ssh([host, `${get} | nc 127.0.0.1 ${port}`]);
    expect(answer.text).toEndWith("web");
    const listening = Bun.spawnSync(["ss", "-Htln", `sport = :${port}`]).stdout.toString();
    expect(listening).toContain(`127.0.0.1:${port}`);
    expect(listening).not.toContain(`0.0.0.0:${port}`);
    child.kill();
    await child.exited;
    await until(async () => !(await connects(port)));
  });

  test("-R of a port of root's is refused to others", async () => {
    const flags = ["-o", "ExitOnForwardFailure=yes", "-R", "1023:127.0.0.1:1"];
    const done = await alone([...flags, `dev@${host}`, "true"]);
    expect(done.code).toBe(255);
  });

  test("-D is a SOCKS proxy that looks names up there", async () => {
    const port = freePort();
    start(["ssh", "-N", "-D", String(port), host]);
    await until(async () => connects(port));
    const through = ["curl", "-s", "--socks5-hostname", `127.0.0.1:${port}`];
    const done = await stage.run([...through, `http://localhost:${web.port}/`]);
    expect(done.text).toBe("web");
  });

  test("Unix sockets both ways, as the user, never in the place of a file", async () => {
    const local = join(stage.folder, "local.sock");
    const remote = join(stage.folder, "back.sock");
    const echo = Bun.listen({
      unix: local,
      socket: { data: (socket, bytes) => void socket.end(bytes) },
    });
    // Out through the guest's socket and back in to ours.
    start([
      "ssh",
      "-N",
      "-R",
      `/tmp/up.sock:${local}`,
      "-L",
      `${remote}:/tmp/up.sock`,
      `dev@${host}`,
    ]);
    await until(async () => existsSync(remote));
    await until(async () => (await ssh([host, "test -S /tmp/up.sock"])).code === 0);
    expect(await askUnix(remote, "round and back")).toBe("round and back");
    const owner = await ssh([host, "ls -l /tmp/up.sock"]);
    expect(owner.text).toMatch(/^srw------- .* dev /);
    await ssh([host, "echo mine > /tmp/file.sock"]);
    const flags = ["-o", "ExitOnForwardFailure=yes", "-R", `/tmp/file.sock:${local}`];
    expect((await alone([...flags, host, "true"])).code).toBe(255);
    expect((await ssh([host, "cat /tmp/file.sock"])).text).toBe("mine\n");
    echo.stop(true);
  });

  test("-A lends the agent, by one path, to the user alone, and only while it is there", async () => {
    await withAgent(stage, async (env, key) => {
      const list = "echo $SSH_AUTH_SOCK; ls -l $SSH_AUTH_SOCK; ssh-add -L";
      const done = await stage.run(["ssh", "-A", host, list], { env, alone: true });
      expect(done.text).toStartWith("/run/fly-vault/agent.sock\nsrw-------");
      expect(done.text).toContain(key);
      const dev = await stage.run(["ssh", "-A", `dev@${host}`, list], { env, alone: true });
      expect(dev.text).toStartWith("/run/fly-vault/agent-1000.sock\nsrw-------");
      expect(dev.text).toContain(key);
      const without = await ssh([host, "echo [$SSH_AUTH_SOCK]"]);
      expect(without.text).toBe("[]\n");
    });
  });

  test("exec -A lends it as well, over a lost link, to a shell that was there before", async () => {
    await withAgent(stage, async (env, key) => {
      const script = "ssh-add -L; echo first; read word; ssh-add -L";
      const child = Bun.spawn(
        [join(import.meta.dir, "../../dist/fly-vault"), "exec", "-A", "dev", "sh", "-c", script],
        {
          env: { ...stage.vault.env, ...env, PATH: process.env["PATH"] ?? "" },
          stdin: "pipe",
          stdout: "pipe",
          stderr: "inherit",
        },
      );
      const reader = child.stdout.getReader();
      let text = "";
      const readUntil = async (word: string): Promise<void> => {
        while (!text.includes(word)) {
          const { value, done } = await reader.read();
          if (done) return;
          text += new TextDecoder().decode(value);
        }
      };
      await readUntil("first");
      killAll("init link");
      await until(async () => (await ssh([host, "test -S /run/fly-vault/agent.sock"])).code === 0);
      await child.stdin.write("go\n");
      await child.stdin.end();
      await readUntil("never said");
      expect(text.split(key)).toHaveLength(3);
      expect(await child.exited).toBe(0);
    });
  });

  test("connect -A lends it to list and to sign, and to the user it is lent to", async () => {
    await withAgent(stage, async (env, key) => {
      const connect = async (script: string): Promise<string> => {
        const child = Bun.spawn(
          [join(import.meta.dir, "../../dist/fly-vault"), "connect", "-A", "dev"],
          {
            env: { ...stage.vault.env, ...env, PATH: process.env["PATH"] ?? "" },
            stdin: new TextEncoder().encode(script),
            stdout: "pipe",
            stderr: "inherit",
          },
        );
        return child.stdout.text();
      };
      // What would take its keys, or lock it, fails; the agent has them all the same.
      const misuse = "ssh-add -D 2>&1; ssh-add -d 2>&1; ssh-add -s /usr/lib/x.so </dev/null 2>&1";
      const said = await connect(`${misuse}; echo then; ssh-add -L\n`);
      expect(said).toMatch(/then\nssh-ed25519 /);
      expect(said).toContain(key);
      expect(said.split("then")[0]).not.toContain("All identities removed");
      const socket = "SSH_AUTH_SOCK=/run/fly-vault/agent.sock";
      const [, stranger] = await Promise.all([
        connect(`${untilThere("-e /tmp/refused")}\n`),
        ssh([
          `dev@${host}`,
          `${untilThere("-S /run/fly-vault/agent.sock")}; ${socket} ssh-add -L 2>&1; : > /tmp/refused`,
        ]),
      ]);
      expect(stranger.text).toContain("Permission denied");
    });
  });

  test("X11 is refused", async () => {
    const done = await stage.run(["ssh", "-X", host, "echo [$DISPLAY]"], {
      env: { DISPLAY: ":0" },
      alone: true,
    });
    expect(done.text).toBe("[]\n");
  });
});

describe("the connection", () => {
  test("is shared by ControlMaster", async () => {
    const control = ["-S", join(stage.folder, "control")];
    const master = start(["ssh", "-N", "-M", ...control, host]);
    await until(async () => (await ssh([...control, "-O", "check", host])).code === 0);
    const done = await Promise.all(
      ["one", "two", "three"].map((word) => ssh([...control, host, `echo ${word}`])),
    );
    expect(done.map(({ text }) => text)).toEqual(["one\n", "two\n", "three\n"]);
    expect((await ssh([...control, "-O", "exit", host])).code).toBe(0);
    await master.exited;
  });

  test("answers keepalives", async () => {
    // Without an answer ssh gives up after five seconds.
    const flags = ["-o", "ServerAliveInterval=1", "-o", "ServerAliveCountMax=4"];
    const { text, code, err } = await alone([...flags, host, "sleep 6; echo alive"]);
    expect([text, code, err]).toEqual(["alive\n", 0, ""]);
  });

  test("does not notice that the link is killed under it, again and again", async () => {
    const bytes = randomBytes(24 * 1024 * 1024);
    const copying = alone([host, "cat"], bytes);
    const script = "for i in 1 2 3 4 5 6 7 8 9; do echo $i; sleep 0.3; done; exit 5";
    const counting = alone([host, script]);
    for (let kill = 0; kill < 3; kill++) {
      await Bun.sleep(600);
      killAll("init link");
    }
    const counted = await counting;
    expect([counted.text, counted.code]).toEqual(["1\n2\n3\n4\n5\n6\n7\n8\n9\n", 5]);
    const copied = await copying;
    expect([copied.code, copied.err]).toEqual([0, ""]);
    expect(sha256(copied.out)).toBe(sha256(bytes));
  });

  test("does not notice that the background link is killed under it", async () => {
    const script = ": > /tmp/counting; for i in 1 2 3 4 5 6 7; do echo $i; sleep 0.3; done; exit 5";
    const counting = alone([host, script]);
    await until(async () => (await ssh([host, "test -e /tmp/counting"])).code === 0);
    const links = backgroundLinks();
    expect(links.length).toBeGreaterThan(0);
    for (const pid of links) process.kill(pid, "SIGKILL");
    const counted = await counting;
    expect([counted.text, counted.code]).toEqual(["1\n2\n3\n4\n5\n6\n7\n", 5]);
  });

  test("of a client that was killed ends with the next one of that computer, its port too", async () => {
    const port = freePort();
    const flags = ["-o", "ExitOnForwardFailure=yes", "-R", `${port}:127.0.0.1:1`];
    const first = start(["ssh", "-N", ...flags, host]);
    await until(async () => connects(port));
    // Neither says a word.
    for (const pid of proxies()) process.kill(pid, "SIGKILL");
    first.kill("SIGKILL");
    await first.exited;
    expect(await connects(port)).toBe(true);
    expect((await alone([host, "true"])).code).toBe(0);
    expect((await alone([...flags, host, "true"])).code).toBe(0);
  });

  test("that nobody reads, or whose program reads nothing, costs the machine no memory", async () => {
    await ssh([host, "true"]);
    const [pid = -1] = stage.processes("init ssh");
    const before = residentBytes(pid);
    start(["ssh", host, "cat /dev/zero"]);
    const stuffed = start(["ssh", host, "sleep 20"]);
    // Most of it finds no room, and goes with the child.
    Promise.resolve(stuffed.stdin.write(new Uint8Array(256 * 1024 * 1024))).catch(() => undefined);
    await Bun.sleep(1500);
    // Windows and their waste: 48 MiB on a busy computer.
    expect(residentBytes(pid) - before).toBeLessThan(96 * 1024 * 1024);
  });

  test("of a user who is not there is refused in words", async () => {
    const done = await alone([`nobody-here@${host}`, "true"]);
    expect(done.code).toBe(255);
    expect(done.err).toContain('Permission denied (The image has no user "nobody-here")');
  });

  test("to a vault that nobody knows ends with the client's own error", async () => {
    const done = await alone(["other.vault", "true"]);
    expect(done.code).toBe(255);
    expect(done.err).toContain('error: there is no vault "other"');
    expect(done.err).toContain("FV-CFG-005");
  });

  test("comes back to another host key of the same attested machine without a word", async () => {
    const file = join(stage.vault.home, ".local/state/fly-vault/ssh-known-hosts", host);
    const known = await Bun.file(file).text();
    expect(known).toMatch(/^dev\.vault ssh-ed25519 \S+\n$/);
    await Bun.write(file, known.replace(/ \S+\n$/, ` ${"A".repeat(68)}\n`));
    const done = await alone([host, "echo in"]);
    expect([done.text, done.err]).toEqual(["in\n", ""]);
    expect(await Bun.file(file).text()).toBe(known);
  });

  test("is lost with the process that speaks SSH, and the next one is served by another", async () => {
    const child = start(["ssh", host, "echo up; sleep 30"]);
    await untilPrinted(child, "up");
    const [before] = stage.processes("init ssh");
    killAll("init ssh");
    expect(await child.exited).toBe(255);
    expect((await alone([host, "echo again"])).text).toBe("again\n");
    expect(stage.processes("init ssh")).not.toContain(before ?? -1);
  });
});

/** In the words of a shell there. */
function untilThere(condition: string): string {
  return `for i in $(seq 300); do test ${condition} && break; sleep 0.1; done`;
}

function start(argv: readonly string[]): SshChild {
  const child = stage.spawn(argv);
  children.push(child);
  return child;
}

async function ssh(words: readonly string[]): Promise<SshResult> {
  return stage.run(["ssh", ...words]);
}

/** Over a connection of its own. */
async function alone(
  words: readonly string[],
  stdin: Uint8Array | string = "",
): Promise<SshResult> {
  return stage.run(["ssh", ...words], { stdin, alone: true });
}

function killAll(words: string): void {
  for (const pid of stage.processes(words)) if (pid > 1) process.kill(pid, "SIGKILL");
}

function backgroundLinks(): number[] {
  return clientProcesses(stage, "link\0serve");
}

function proxies(): number[] {
  return clientProcesses(stage, "\0ssh-proxy\0");
}

async function untilAnswered(url: string): Promise<Response> {
  for (let look = 0; look < 200; look++) {
    const response = await fetch(url).catch(() => undefined);
    if (response !== undefined) return response;
    await Bun.sleep(50);
  }
  throw new Error(`${url} never answered`);
}

async function untilPrinted(child: SshChild, word: string): Promise<void> {
  let text = "";
  for await (const bytes of child.stdout) {
    text += new TextDecoder().decode(bytes);
    if (text.includes(word)) return;
  }
  throw new Error(`Ended without ${word}: ${text}`);
}

async function untilSaid(child: SshChild, pattern: RegExp): Promise<RegExpExecArray> {
  let text = "";
  for await (const bytes of child.stderr) {
    text += new TextDecoder().decode(bytes);
    const found = pattern.exec(text);
    if (found !== null) return found;
  }
  throw new Error(`Ended without ${pattern}: ${text}`);
}

async function connects(port: number): Promise<boolean> {
  try {
    const socket = await Bun.connect({ hostname: "127.0.0.1", port, socket: { data: () => {} } });
    socket.end();
    return true;
  } catch {
    return false;
  }
}

async function askUnix(path: string, question: string): Promise<string> {
  const answer = Promise.withResolvers<string>();
  const socket = await Bun.connect({
    unix: path,
    socket: { data: (_socket, bytes) => answer.resolve(bytes.toString()) },
  });
  socket.write(question);
  const text = await answer.promise;
  socket.end();
  return text;
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}
