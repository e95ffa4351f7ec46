import { fileURLToPath } from "node:url";

const main = fileURLToPath(new URL("../../src/main.ts", import.meta.url));

/** The client on a terminal of its own, as a person has it. */
export class PtyClient {
  readonly child: Bun.Subprocess;
  #text = "";
  readonly #terminal: Bun.Terminal;

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
  async shows(pattern: RegExp, from = 0, limitMs = 10_000): Promise<void> {
    const untilMs = performance.now() + limitMs;
    while (!pattern.test(this.#text.slice(from))) {
      if (performance.now() > untilMs)
        throw new Error(`Not shown: ${pattern}\n--- was:\n${this.#text.slice(from)}`);
      await Bun.sleep(10);
    }
  }

  /** Line modes as the kernel has them: true while somebody's raw mode is on. */
  get raw(): boolean {
    const canonicalFlag = 0x2;
    const echoFlag = 0x8;
    const { localFlags } = this.#terminal;
    return (localFlags & (canonicalFlag | echoFlag)) !== (canonicalFlag | echoFlag);
  }

  async exited(): Promise<number> {
    const code = await this.child.exited;
    // What it wrote last is on its way.
    await Bun.sleep(30);
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
}
