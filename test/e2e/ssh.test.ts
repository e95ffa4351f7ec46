import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash, randomBytes } from "node:crypto";
import { chmodSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type SshChild, type SshStage, startSshStage } from "../support/ssh-stage.ts";

/** OpenSSH's own client against the compiled program: each thing that people and editors do with it. */
let stage: SshStage;

beforeAll(async () => {
  stage = await startSshStage();
});

afterAll(async () => {
  await stage.stop();
});

const host = "dev.vault";

describe("a command", () => {
  test("has its output, its errors and its status apart", async () => {
    const done = await stage.run(["ssh", host, "echo out; echo err >&2; exit 42"]);
    expect([done.text, done.err, done.code]).toEqual(["out\n", "err\n", 42]);
  });

  test("is a line for the user's shell, run as the user that ssh names", async () => {
    const done = await stage.run(["ssh", `dev@${host}`, "echo $USER $HOME; pwd; id -u"]);
    expect(done.text).toBe("dev /home/dev\n/home/dev\n1000\n");
  });

  test("64 MiB through cat come back as they were", async () => {
    const bytes = randomBytes(64 * 1024 * 1024);
    const done = await stage.run(["ssh", host, "cat"], { stdin: bytes });
    expect(sha256(done.out)).toBe(sha256(bytes));
    expect(done.code).toBe(0);
  });

  test("sees the end of its input while it goes on writing", async () => {
    const done = await stage.run(["ssh", host, "wc -c; sleep 0.2; echo still here"], {
      stdin: "12345",
    });
    expect(done.text).toBe("5\nstill here\n");
  });

  test("that dies of a signal says so", async () => {
    const done = await stage.run(["ssh", "-v", host, "kill -TERM $$"], { alone: true });
    expect(done.err).toContain("exit-signal");
    expect(done.code).toBe(255);
  });

  test("without one it is the login shell", async () => {
    const done = await stage.run(["ssh", "-T", host], { stdin: "echo $0; exit 3\n" });
    expect([done.text, done.code]).toEqual(["-sh\n", 3]);
  });

  test("gets variables of languages, colours, git and editors, and no others", async () => {
    const env = { LC_TIME: "C", COLORTERM: "truecolor", GIT_AUTHOR_NAME: "me", LD_PRELOAD_X: "no" };
    const send = "SendEnv=LC_* COLORTERM GIT_* LD_PRELOAD_X";
    const script = "echo $LC_TIME $COLORTERM $GIT_AUTHOR_NAME [$LD_PRELOAD_X] $SSH_CONNECTION";
    const done = await stage.run(["ssh", "-o", send, host, script], { env, alone: true });
    expect(done.text).toBe("C truecolor me [] 127.0.0.1 0 127.0.0.1 22\n");
  });

  test("shows in the list as one of ssh's", async () => {
    const child = stage.spawn(["ssh", host, "echo up; sleep 20"]);
    await untilPrinted(child, "up");
    const listed = await stage.vault.client(["list-exec", "dev"]);
    expect(listed.text).toMatch(/"context": ?"ssh"/);
    child.kill();
    await child.exited;
  });
});

describe("a terminal", () => {
  test("has the size, the name and the modes of the one that ssh is on, and follows it", async () => {
    const { child, terminal, untilShown } = onTerminal([
      "sh",
      "-c",
      `stty erase ^H -ixon; exec ssh -F ${join(stage.vault.home, ".ssh/config")} ${host}`,
    ]);
    await untilShown(/vault# /);
    terminal.write("stty -a; echo $TERM\r");
    expect(await untilShown(/rows 30; columns 100[^]*xterm-fv/)).toMatch(/erase = \^H[^]*-ixon/);
    terminal.resize(120, 40);
    // The size arrives by a way of its own.
    terminal.write('until [ "$(stty size | tr " " x)" = 40x120 ]; do sleep 0.1; done; stty size\r');
    await untilShown(/40 120/);
    terminal.write("exit 9\r");
    expect(await child.exited).toBe(9);
  });

  test("that goes takes its shell with it", async () => {
    const { child, terminal, untilShown } = onTerminal([
      "ssh",
      "-F",
      join(stage.vault.home, ".ssh/config"),
      "-t",
      host,
      "echo pid $$; trap 'echo gone > /tmp/hung-up' HUP; sleep 30 & wait",
    ]);
    await untilShown(/pid \d+/);
    child.kill("SIGKILL");
    await child.exited;
    terminal.close();
    const looked = "for i in $(seq 300); do test -e /tmp/hung-up && break; sleep 0.1; done";
    const done = await stage.run(["ssh", host, `${looked}; cat /tmp/hung-up`]);
    expect(done.text).toBe("gone\n");
  });
});

describe("files", () => {
  test("sftp, with what its commands need", async () => {
    const batch =
      "pwd,mkdir box,cd box,put /etc/passwd one,chmod 600 one,rename one two,symlink two three," +
      "ls -la,get three back,df,rm three,rm two,cd ..,rmdir box,-get missing";
    const file = join(stage.folder, "batch");
    writeFileSync(file, `${batch.replaceAll(",", "\n")}\n`);
    const done = await stage.run(["sftp", "-b", file, host], { cwd: stage.folder });
    expect(done.code).toBe(0);
    expect(done.text).toContain("Remote working directory: /root\n");
    expect(done.text).toMatch(/-rw------- .* two\n/);
    expect(done.text).toMatch(/lrwxrwxrwx .* three\n/);
    expect(readFileSync(join(stage.folder, "back"), "utf8")).toBe(
      readFileSync("/etc/passwd", "utf8"),
    );
  });

  test("sftp has the rights of its user, no more", async () => {
    await stage.run(["ssh", host, "echo secret > /root/secret; chmod 600 /root/secret"]);
    const file = join(stage.folder, "spy");
    writeFileSync(file, "get /root/secret stolen\n");
    const done = await stage.run(["sftp", "-b", file, `dev@${host}`], { cwd: stage.folder });
    expect(done.code).toBe(1);
    expect(done.err).toContain("Permission denied");
  });

  test("scp both ways, over SFTP and over its own protocol, times and modes kept", async () => {
    const local = join(stage.folder, "big");
    const bytes = randomBytes(3 * 1024 * 1024 + 1);
    writeFileSync(local, bytes);
    chmodSync(local, 0o640);
    for (const [index, flags] of [["-p"], ["-p", "-O"]].entries()) {
      const back = join(stage.folder, `back-${index}`);
      const there = await stage.run(["scp", ...flags, local, `${host}:there-${index}`]);
      const here = await stage.run(["scp", ...flags, `${host}:there-${index}`, back]);
      expect([there.err, there.code, here.err, here.code]).toEqual(["", 0, "", 0]);
      expect(sha256(readFileSync(back))).toBe(sha256(bytes));
    }
    const listed = await stage.run(["ssh", host, "ls -l there-0"]);
    expect(listed.text).toStartWith("-rw-r-----");
  });

  test("rsync sends what differs", async () => {
    const tree = join(stage.folder, "tree");
    Bun.spawnSync(["mkdir", "-p", join(tree, "deep")]);
    writeFileSync(join(tree, "deep/file with space"), "first");
    const send = ["rsync", "-a", "--stats", `${tree}/`, `${host}:tree/`];
    expect((await stage.run(send)).code).toBe(0);
    writeFileSync(join(tree, "second"), "second");
    const again = await stage.run(send);
    expect(again.text).toContain("Number of regular files transferred: 1\n");
    const read = await stage.run(["ssh", host, "cat 'tree/deep/file with space' tree/second"]);
    expect(read.text).toBe("firstsecond");
  });

  test("git pushes", async () => {
    await stage.run(["ssh", host, "git init -q --bare repository"]);
    const repository = join(stage.folder, "repository");
    const git = (...words: readonly string[]) =>
      stage.run(["git", "-C", repository, "-c", "user.name=a", "-c", "user.email=a@b", ...words]);
    Bun.spawnSync(["git", "init", "-q", repository]);
    await git("commit", "-q", "--allow-empty", "-m", "pushed over ssh");
    const pushed = await git("push", `${host}:repository`, "HEAD:refs/heads/main");
    expect(pushed.code).toBe(0);
    const logged = await stage.run(["ssh", host, "git -C repository log --format=%s main"]);
    expect(logged.text).toBe("pushed over ssh\n");
  });
});

function onTerminal(argv: readonly string[]) {
  let screen = "";
  const decoder = new TextDecoder();
  const child = Bun.spawn([...argv], {
    cwd: stage.vault.home,
    env: { PATH: process.env["PATH"] ?? "", TERM: "xterm-fv", ...stage.vault.env },
    terminal: {
      cols: 100,
      rows: 30,
      data: (_terminal, bytes) => {
        screen += decoder.decode(bytes, { stream: true });
      },
    },
  });
  const { terminal } = child;
  if (terminal === undefined) throw new Error("No terminal");
  const untilShown = async (pattern: RegExp): Promise<string> => {
    for (let look = 0; look < 600; look++) {
      if (pattern.test(screen)) return screen;
      await Bun.sleep(50);
    }
    throw new Error(`Not on the screen: ${pattern}\n${screen}`);
  };
  return { child, terminal, untilShown };
}

async function untilPrinted(child: SshChild, word: string): Promise<void> {
  let text = "";
  const decoder = new TextDecoder();
  for await (const bytes of child.stdout) {
    text += decoder.decode(bytes, { stream: true });
    if (text.includes(word)) return;
  }
  throw new Error(`Ended without ${word}: ${text}`);
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}
