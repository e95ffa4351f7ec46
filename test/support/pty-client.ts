import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const main = fileURLToPath(new URL("../../src/main.ts", import.meta.url));

/** The client on a terminal of its own, as a person has it. */
export class PtyClient {
  readonly child: Bun.Subprocess;
  #text = "";
  readonly #terminal: Bun.Terminal;
  readonly #hungUp = Promise.withResolvers<void>();

  constructor(argv: readonly string[], env: Readonly<Record<string, string>>, program = main) {
    const decoder = new TextDecoder();
    // Made by the spawn itself: only then is it the child's controlling terminal, with SIGWINCH.
    this.child = Bun.spawn([process.execPath, program, ...argv], {
      env: { FLY_VAULT_NO_LINK: "1", NO_COLOR: "1", ...env },
      cwd: "/",
      terminal: {
        rows: 30,
        cols: 100,
        data: (_terminal, bytes) => {
          this.#text += decoder.decode(bytes, { stream: true });
        },
        exit: () => this.#hungUp.resolve(),
      },
      timeout: 50_000,
      killSignal: "SIGKILL",
    });
    const { terminal } = this.child;
    if (terminal === undefined) throw new Error("No terminal");
    this.#terminal = terminal;
  }

  /** Everything that was drawn so far. */
  get text(): string {
    return this.#text;
  }

  type(keys: string): void {
    this.#terminal.write(keys);
  }

  resize(rows: number, cols: number): void {
    this.#terminal.resize(cols, rows);
  }

  /** Waits until the text, counted from `from`, matches. */
  async shows(pattern: RegExp, from = 0, limitMs = 20_000): Promise<void> {
    await this.#until(() => pattern.test(this.#text.slice(from)), `Not shown: ${pattern}`, limitMs);
  }

  /** Types it again and again until it has led there: what it asks for may be so a moment later only. */
  async typesUntil(keys: string, pattern: RegExp): Promise<void> {
    const from = this.#text.length;
    for (let tries = 0; tries < 40 && !pattern.test(this.#text.slice(from)); tries++) {
      this.type(keys);
      await Bun.sleep(500);
    }
    await this.shows(pattern, from, 0);
  }

  /** Line modes as the kernel has them: true while somebody's raw mode is on. */
  get raw(): boolean {
    const canonicalFlag = 0x2;
    const echoFlag = 0x8;
    const { localFlags } = this.#terminal;
    return (localFlags & (canonicalFlag | echoFlag)) !== (canonicalFlag | echoFlag);
  }

  async becomesRaw(wanted: boolean): Promise<void> {
    await this.#until(() => this.raw === wanted, `Never ${wanted ? "" : "not "}raw`);
  }

  /** Waits until it stands still, as after SIGTSTP: a SIGCONT that comes before that is lost. */
  async stopped(): Promise<void> {
    const stands = (): boolean =>
      /^State:\tT/m.test(readFileSync(`/proc/${this.child.pid}/status`, "utf8"));
    await this.#until(stands, "Not stopped");
  }

  /** With all that it wrote, unless something it left behind keeps the terminal open. */
  async exited(): Promise<number> {
    const code = await this.child.exited;
    await Promise.race([this.#hungUp.promise, Bun.sleep(5000)]);
    return code;
  }

  /** The window is closed. */
  hangUp(): void {
    this.#terminal.close();
  }

  close(): void {
    this.child.kill("SIGKILL");
    this.#terminal.close();
  }

  async #until(holds: () => boolean, words: string, limitMs = 20_000): Promise<void> {
    const untilMs = performance.now() + limitMs;
    while (!holds()) {
      if (performance.now() > untilMs) throw new Error(`${words}\n--- was:\n${this.#text}`);
      await Bun.sleep(10);
    }
  }
}
