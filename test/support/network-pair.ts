/**
 * Two network namespaces with a cable between them: `inside` for a machine, `outside` for whoever tries
 * to reach it. Nothing of it touches the network of this computer.
 */
export class NetworkPair implements Disposable {
  readonly inside = `fvi-${process.pid}-${crypto.randomUUID().slice(0, 4)}`;
  readonly outside = this.inside.replace("fvi", "fvo");
  readonly address4 = "192.0.2.1";
  readonly address6 = "fd00:fb::1";

  constructor() {
    const { inside, outside } = this;
    for (const space of [inside, outside]) ip("netns", "add", space);
    ip(
      "link",
      "add",
      "fv0",
      "netns",
      inside,
      "type",
      "veth",
      "peer",
      "name",
      "fv1",
      "netns",
      outside,
    );
    for (const [space, link, host] of [
      [inside, "fv0", 1],
      [outside, "fv1", 2],
    ] as const) {
      ip("-n", space, "address", "add", `192.0.2.${host}/24`, "dev", link);
      ip("-n", space, "address", "add", `fd00:fb::${host}/64`, "dev", link, "nodad");
      for (const name of ["lo", link]) ip("-n", space, "link", "set", name, "up");
    }
  }

  [Symbol.dispose](): void {
    for (const space of [this.inside, this.outside]) ip("netns", "delete", space);
  }

  /** Words before a command that is to run in there. */
  starter(space: string): string[] {
    return ["ip", "netns", "exec", space];
  }

  /** A shell script that runs in there for as long as it is not disposed of. */
  start(space: string, script: string): RunningScript {
    return new RunningScript([...this.starter(space), "bash", "-c", `exec 2>&1; ${script}`]);
  }

  /** Output of a shell script in there. */
  async run(space: string, script: string): Promise<string> {
    const child = Bun.spawn([...this.starter(space), "bash", "-c", script], {
      stdio: ["ignore", "pipe", "pipe"],
      env: { PATH: path() },
    });
    const [stdout, stderr] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
    ]);
    await child.exited;
    return stdout + stderr;
  }
}

class RunningScript implements Disposable {
  readonly #child: Bun.Subprocess<"ignore", "pipe", "inherit">;
  #words = "";
  #isOver = false;

  constructor(command: readonly string[]) {
    this.#child = Bun.spawn([...command], {
      stdio: ["ignore", "pipe", "inherit"],
      env: { PATH: path() },
    });
    void this.#follow();
  }

  /** All that it said, as soon as this is in it, it has ended or the time is up. */
  async until(text: string, timeoutMs = 30_000): Promise<string> {
    const deadlineMs = performance.now() + timeoutMs;
    while (!this.#words.includes(text) && !this.#isOver && performance.now() < deadlineMs)
      await Bun.sleep(5);
    return this.#words;
  }

  async #follow(): Promise<void> {
    for await (const bytes of this.#child.stdout) this.#words += Buffer.from(bytes).toString();
    this.#isOver = true;
  }

  [Symbol.dispose](): void {
    this.#child.kill("SIGKILL");
  }
}

function ip(...words: readonly string[]): void {
  const done = Bun.spawnSync(["ip", ...words], { env: { PATH: path() } });
  if (done.exitCode !== 0) throw new Error(`ip ${words.join(" ")}: ${done.stderr.toString()}`);
}

function path(): string {
  return `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin`;
}
