import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { distFolder } from "../support/program.ts";

/** The network has nothing but loopback, and ssh looks for the home folder in /etc/passwd alone. */
const ownPlace = `ip link set lo up
sed "s#^root:.*#root:x:0:0:root:$HOME:/bin/bash#" /etc/passwd >~/.passwd
mount --bind ~/.passwd /etc/passwd`;
const stepLimitMs = 60_000;
const mark = "\u001e";

export interface Answer {
  readonly output: string;
  readonly exitCode: number;
}

/**
 * One shell for a page, in a home, a network and a process table of its own: every page may listen on the ports that
 * it names, and whatever it leaves running ends with it.
 */
export class PageShell implements AsyncDisposable {
  readonly home: string;
  readonly #child: Bun.Subprocess<"pipe", "pipe", "inherit">;
  #output = "";

  private constructor(home: string, child: Bun.Subprocess<"pipe", "pipe", "inherit">) {
    this.home = home;
    this.#child = child;
    void this.#read();
  }

  /** `rootfs`: the archive that stands in for the one which a page has made. */
  static async open(rootfs: string): Promise<PageShell> {
    const home = await mkdtemp(join(tmpdir(), "fv-docs-"));
    await mkdir(join(home, "run"), { mode: 0o700 });
    const own = ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];
    const child = Bun.spawn(["unshare", ...own, "bash", "--noprofile", "--norc"], {
      cwd: home,
      env: {
        HOME: home,
        PATH: `${distFolder}:${process.env["PATH"]}`,
        LANG: "C.UTF-8",
        TERM: "xterm-256color",
        XDG_RUNTIME_DIR: join(home, "run"),
        FLY_VAULT_STAY_SECS: "0",
        PAGE_ROOTFS: rootfs,
      },
      stdin: "pipe",
      stdout: "pipe",
      stderr: "inherit",
    });
    const shell = new PageShell(home, child);
    await shell.run(ownPlace);
    return shell;
  }

  /** A command to its end, without a terminal. */
  async run(command: string): Promise<Answer> {
    this.#type(`{ ${command}\n} </dev/null 2>&1; printf '${mark}%s${mark}' $?\n`);
    return this.answer();
  }

  /** One that goes on beside the next ones; resolves with what it has printed once that is enough. */
  async runBeside(command: string, isEnough: (output: string) => boolean): Promise<Answer> {
    const path = join(this.home, `.beside-${crypto.randomUUID()}`);
    const { exitCode } = await this.run(`: >${path}; ${command} >>${path} 2>&1 &`);
    const printed = Bun.file(path);
    await this.#until(async () => isEnough(await printed.text()), `enough of ${command}`);
    return { output: await printed.text(), exitCode };
  }

  /** What `work` exports and leaves running ends with it; files stay. */
  async inChild(work: () => Promise<void>): Promise<void> {
    this.#type("bash --noprofile --norc\n");
    try {
      await work();
    } finally {
      await this.run("kill $(jobs -p) 2>/dev/null; wait");
      this.#type("exit\n");
    }
  }

  /** The same on a terminal; what is typed follows, then `answer`. */
  startOnTerminal(command: string): void {
    const words = `stty cols 100 rows 30; ${command}`.replaceAll("'", `'\\''`);
    this.#type(
      `script --quiet --return --command '${words}' /dev/null; printf '${mark}%s${mark}' $?\n`,
    );
  }

  /** Once what is on the terminal is as it should be. */
  async typeWhen(holds: (output: string) => boolean, text: string): Promise<void> {
    await this.#until(() => holds(this.#output), `a moment to type ${JSON.stringify(text)}`);
    this.#type(text);
  }

  /** What a command has printed, once it has ended. */
  async answer(): Promise<Answer> {
    const ended = new RegExp(`^(.*)${mark}(\\d+)${mark}`, "s");
    await this.#until(() => ended.test(this.#output), "the end of the command");
    const [whole = "", output = "", exitCode] = ended.exec(this.#output) ?? [];
    this.#output = this.#output.slice(whole.length);
    return { output, exitCode: Number(exitCode) };
  }

  async #until(holds: () => boolean | Promise<boolean>, what: string): Promise<void> {
    const untilMs = performance.now() + stepLimitMs;
    while (!(await holds())) {
      if (performance.now() > untilMs)
        throw new Error(`waited ${stepLimitMs / 1000} s for ${what}; printed:\n${this.#output}`);
      await Bun.sleep(10);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.exited;
    // What the namespace's end has killed may still be going.
    await rm(this.home, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
  }

  #type(text: string): void {
    void this.#child.stdin.write(text);
    void this.#child.stdin.flush();
  }

  async #read(): Promise<void> {
    const decoder = new TextDecoder();
    for await (const bytes of this.#child.stdout)
      this.#output += decoder.decode(bytes, { stream: true });
  }
}
