import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type ClientChild, spawnClient } from "../../../support/client-process.ts";
import { PtyClient } from "../../../support/pty-client.ts";
import { RealVault } from "../../../support/real-vault.ts";

setDefaultTimeout(120_000);

/** A command and whoever waits for it, each a process of its own, with a real init. */
let vault: RealVault;
beforeAll(async () => {
  vault = await RealVault.boot();
});
afterAll(async () => {
  await vault[Symbol.asyncDispose]();
});

const main = fileURLToPath(new URL("../../../../src/main.ts", import.meta.url));
/** Writes without end, and without a flood. */
const drip = "while :; do echo y; sleep 0.02; done";
const shell = (script: string) => ["--", "sh", "-c", script];

/** Once it has written something. */
async function started(words: readonly string[]): Promise<ClientChild> {
  const child = spawnClient(words, vault.env);
  await child.stdout.getReader().read();
  return child;
}

test.concurrent("Ctrl-C reaches the whole group of the command", async () => {
  const inner = "trap 'echo child >&2; exit' INT; echo up; while :; do sleep 0.05; done";
  const child = await started(["exec", "dev", ...shell(`trap 'exit 6' INT; sh -c "${inner}"; :`)]);
  child.kill("SIGINT");
  expect(await child.exited).toBe(6);
  expect(await child.stderr.text()).toBe("child\n");
});

test.concurrent("Ctrl-C twice leaves the command, and says how to come back to it", async () => {
  const deaf = "trap 'echo heard' INT; echo up; while :; do sleep 0.05; done";
  const child = spawnClient(["exec", "--session", "deaf", "dev", ...shell(deaf)], vault.env);
  const reader = child.stdout.getReader();
  await reader.read();
  child.kill("SIGINT");
  // Two that come at once would be one.
  expect(Buffer.from((await reader.read()).value ?? []).toString()).toBe("heard\n");
  child.kill("SIGINT");
  expect(await child.exited).toBe(130);
  const err = await child.stderr.text();
  expect(err).toBe('\nleft "dev"; the session goes on (fly-vault attach dev deaf)\n');
  expect((await vault.run(["sessions", "dev"])).out).toMatch(/\ndeaf .* running /);
  await vault.run(["kill", "-s", "KILL", "dev", "deaf"]);
  expect((await vault.run(["attach", "dev", "deaf"])).code).toBe(137);
});

test.concurrent(
  "a session that was there already is said to be, and nothing is started",
  async () => {
    const words = ["exec", "--session", "once", "dev"];
    expect((await vault.run([...words, ...shell("echo first; exit 2")])).err).toBe("");
    const again = await vault.run([...words, ...shell("echo second")]);
    expect([again.code, again.out]).toEqual([2, "first\n"]);
    expect(again.err).toBe(
      'session "once" was there already: attached to it, nothing was started\n',
    );
  },
);

test.concurrent("the words after the command's first are its own", async () => {
  const { code, out } = await vault.run(["exec", "dev", "echo", "--help", "-t", "--", "-x"]);
  expect([code, out]).toEqual([0, "--help -t -- -x\n"]);
});

describe("-t", () => {
  test.concurrent(
    "without a terminal here the command has one all the same, and its end",
    async () => {
      const shown = await vault.run(["exec", "-t", "dev", ...shell("tty; cat; exit 3")], "typed\n");
      expect(shown.code).toBe(3);
      expect(shown.out).toMatch(/^(typed\r\n)?\/dev\/pts\/\d+\r\n/);
      expect(shown.out).toContain("typed\r\n");
      const none = await vault.run(["exec", "-t", "-T", "dev", ...shell("tty")]);
      expect([none.code, none.out]).toEqual([1, "not a tty\n"]);
    },
  );

  test.concurrent("whose output has no reader any more hangs its command up", async () => {
    const words = ["exec", "-t", "--session", "unseen", "dev", ...shell(drip)];
    const script = `${process.execPath} ${main} "$@" | head -c 1`;
    const child = Bun.spawn(["sh", "-c", script, "sh", ...words], {
      env: { ...vault.env },
      cwd: "/",
      terminal: { rows: 30, cols: 100 },
    });
    await child.exited;
    expect((await vault.run(["wait", "dev", "unseen"])).code).toBe(129);
  });

  test.concurrent("resizes, and a SIGTERM to the client is one to the command", async () => {
    const script =
      "trap 'stty size' WINCH; trap 'exit 9' TERM; echo up; while :; do sleep 0.05; done";
    const words = ["exec", "-t", "--session", "sized", "dev", ...shell(script)];
    const client = new PtyClient(words, vault.env);
    try {
      await client.shows(/up/);
      client.resize(41, 99);
      await client.shows(/41 99/);
      client.child.kill("SIGTERM");
      expect(await client.exited()).toBe(143);
      expect(client.raw).toBeFalse();
    } finally {
      client.close();
    }
    expect((await vault.run(["wait", "dev", "sized"])).code).toBe(9);
  });

  test.concurrent("attach joins a terminal as a terminal; ~. leaves it", async () => {
    await vault.run(["run", "-t", "--name", "shell", "dev", "--", "sh"]);
    const client = new PtyClient(["attach", "dev", "shell"], vault.env);
    try {
      await client.shows(/[#$] /);
      // Full-screen programs are made to paint anew by two changes of size, which come first.
      await client.typesUntil("stty size; echo a$((1+1))\r", /30 100\r\na2/);
      client.type("\r~.");
      expect(await client.exited()).toBe(0);
      await client.shows(/the session goes on \(fly-vault attach dev [0-9a-f]{32}\)/);
    } finally {
      client.close();
    }
    const typed = await vault.run(["attach", "dev", "shell"], "exit 8\n");
    expect(typed.code).toBe(8);
  });
});

test.concurrent(
  "attach joins pipes from a terminal, where lines are edited, ~ is a letter and Ctrl-D the end",
  async () => {
    const child = spawnClient(
      ["exec", "--session", "piped", "dev", ...shell("echo up; cat")],
      vault.env,
    );
    await child.stdout.getReader().read();
    const client = new PtyClient(["attach", "dev", "piped"], vault.env);
    try {
      expect(await child.exited).toBe(7);
      client.type("~.ab\u007fc\r");
      await client.shows(/\n~\.ac\r\n/);
      expect(client.raw).toBeFalse();
      client.type("\u0004");
      expect(await client.exited()).toBe(0);
    } finally {
      client.close();
    }
  },
);

test.concurrent(
  "run --attach leaves a session that was there its terminal: no Ctrl-D at the end of our input",
  async () => {
    await vault.run(["run", "-t", "--name", "theirs", "dev", "--", "sh"]);
    const joined = spawnClient(["run", "--attach", "--name", "theirs", "dev", "true"], vault.env);
    await joined.stdin.end();
    while (!/\ntheirs .* running +1 /.test((await vault.run(["sessions", "dev"])).out));
    await Bun.sleep(300);
    expect((await vault.run(["sessions", "dev"])).out).toMatch(/\ntheirs .* running /);
    await joined.stdout.cancel();
    await vault.run(["kill", "-s", "HUP", "dev", "theirs"]);
    expect(await joined.exited).toBeGreaterThan(0);
  },
);

describe("--status-fd", () => {
  test.concurrent("says whose the exit status is", async () => {
    const named = ["exec", "--status-fd", "3", "--session", "told", "dev"];
    const ended = { session_id: "told", left: false, error: null };
    expect(await statusOf([...named, ...shell("exit 4")])).toEqual({
      code: 4,
      data: { ...ended, status: 4, exit_code: 4, ended_by: "exit", signal: null },
    });
    const killed = { status: 137, exit_code: 137, ended_by: "signal", signal: "SIGKILL" };
    const other = ["exec", "--status-fd=3", "--session", "killed", "dev", ...shell("kill -9 $$")];
    expect((await statusOf(other)).data).toEqual({ ...ended, session_id: "killed", ...killed });
    expect((await statusOf(["attach", "--status-fd", "3", "dev", "told"])).data).toMatchObject({
      session_id: "told",
      status: 4,
    });
    const missing = await statusOf(["exec", "--status-fd", "3", "dev", "no-such-command"]);
    expect(missing.data).toMatchObject({
      status: 127,
      exit_code: null,
      error: { code: "FV-EXE-003", exit: 127 },
    });
  });

  test.concurrent("tells of a session that was left, and of a shell that ended", async () => {
    await vault.run(["run", "--name", "stays", "dev", "--", "sleep", "100"]);
    const attached = statusOf(["attach", "--status-fd", "3", "dev", "stays"]);
    while (!/\nstays .* running +1 /.test((await vault.run(["sessions", "dev"])).out));
    const other = spawnClient(["attach", "dev", "stays"], vault.env);
    const { code, data } = await attached;
    await vault.run(["kill", "dev", "stays"]);
    expect(await other.exited).toBe(143);
    expect([code, data]).toEqual([
      7,
      expect.objectContaining({ left: true, exit_code: null, error: expect.anything() }),
    ]);
    expect((await statusOf(["connect", "--status-fd", "3", "dev"])).data).toMatchObject({
      status: 0,
      ended_by: "exit",
      left: false,
    });
  });

  test.concurrent("must be open", async () => {
    for (const said of ["777", "x", "-1"]) {
      const { code, err } = await vault.run(["exec", `--status-fd=${said}`, "dev", "true"]);
      expect(code).toBe(2);
      expect(err).toContain(`--status-fd ${said} is not an open descriptor`);
    }
  });
});

test.concurrent("an error of this client is JSON on stderr with --json", async () => {
  const { code, out, err } = await vault.run(["exec", "--json", "dev", "no-such-command"]);
  expect([code, out]).toEqual([127, ""]);
  expect(JSON.parse(err)).toMatchObject({ error: { code: "FV-EXE-003", exit: 127 } });
});

/** What was written on descriptor 3. */
async function statusOf(words: readonly string[]): Promise<{ code: number; data: unknown }> {
  const file = join(vault.machine.folder, crypto.randomUUID());
  const argv = ["sh", "-c", 'exec "$@" 3>"$0"', file, process.execPath, main, ...words];
  const child = Bun.spawn(argv, {
    env: { ...vault.env },
    cwd: "/",
    stdin: "ignore",
    stdout: "ignore",
    stderr: "ignore",
    timeout: 20_000,
  });
  const code = await child.exited;
  const document = JSON.parse(readFileSync(file, "utf8")) as Record<string, unknown>;
  expect([document["schema"], document["version"]]).toEqual(["fly-vault/exit-status", 1]);
  return { code, data: document["data"] };
}

describe("what does not fit", () => {
  const long = "x".repeat(100_000);

  test.concurrent(
    "is told as a mistake in the words, with the way round, and on --status-fd",
    async () => {
      const env = ["A", "B", "C"].flatMap((name) => ["-e", `${name}=${long}`]);
      const large = await vault.run(["exec", ...env, "dev", "true"]);
      expect(large.code).toBe(2);
      expect(large.err).toMatch(/COMMAND and its variables are 293\.\d KiB, at most 256(\.0)? KiB/);
      const many = await vault.run(["run", "dev", "--", ...Array.from({ length: 5000 }, String)]);
      expect(many.code).toBe(2);
      expect(many.err).toContain("COMMAND has more than 4096 words");
      const told = await statusOf(["exec", "--status-fd", "3", ...env, "dev", "true"]);
      expect(told).toMatchObject({ code: 2, data: { status: 2, error: { code: "FV-CLI-001" } } });
    },
  );

  test.concurrent(
    "of languages is left behind, and any number of them leaves LANG and TERM their place",
    async () => {
      const many = Object.fromEntries(Array.from({ length: 50 }, (_, n) => [`LC_${n}`, "C"]));
      const env = { ...many, LC_LONG: long, LC_LONGER: long + long, LANG: "C.UTF-8", LC_ALL: "C" };
      const { out } = await vault.run(
        ["exec", "-t", "dev", ...shell("echo $LANG $LC_ALL $TERM [$LC_LONG]")],
        "",
        env,
      );
      expect(out).toBe("C.UTF-8 C xterm-256color []\r\n");
    },
  );
});

test.concurrent(
  "a word that is no UTF-8 is refused, not changed; its sign of replacement is a letter",
  async () => {
    const [code, out, err] = await printed(`"$(printf 'a\\377b')"`);
    expect([code, out]).toEqual([2, ""]);
    expect(err).toContain("is not UTF-8");
    expect((await printed("a\u{FFFD}b")).slice(0, 2)).toEqual([0, "a\u{FFFD}b"]);
  },
);

test.concurrent("--status-fd tells of a reader that went away", async () => {
  const script = `"$0" "$@" 3>${vault.machine.folder}/gone | head -c 1`;
  const words = ["exec", "-q", "--status-fd", "3", "dev", ...shell(drip)];
  const child = Bun.spawn(["sh", "-c", script, process.execPath, main, ...words], {
    env: { ...vault.env },
    cwd: "/",
    stdin: "ignore",
    stdout: "pipe",
  });
  expect(await child.stdout.text()).toBe("y");
  const file = Bun.file(`${vault.machine.folder}/gone`);
  for (let tries = 0; tries < 2000 && !(await file.text()).endsWith("\n"); tries += 1)
    await Bun.sleep(10);
  const { data } = (await file.json()) as { data: { readonly left: boolean } };
  const ended = { status: 141, ended_by: "signal", exit_code: 141, error: null };
  // Word that it has ended is waited for no longer than farewellMs.
  const unheard = { ...ended, ended_by: null, exit_code: null };
  expect(data).toMatchObject(data.left ? unheard : ended);
});

/** What a shell that runs `printf %s` with that word makes of it. */
async function printed(word: string) {
  const words = ["sh", "-c", `exec "$0" "$@" -- printf %s ${word}`, process.execPath];
  const child = Bun.spawn([...words, main, "exec", "-q", "dev"], {
    env: { ...vault.env },
    cwd: "/",
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  return [await child.exited, await child.stdout.text(), await child.stderr.text()] as const;
}
