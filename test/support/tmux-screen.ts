import { rmSync } from "node:fs";

/** A terminal that can be looked at: what a person would see, by a tmux server of its own. */
export class TmuxScreen {
  readonly #socket = `/tmp/fv-tmux-${crypto.randomUUID()}`;

  constructor(
    command: readonly string[],
    options: {
      readonly env: Readonly<Record<string, string>>;
      readonly cwd?: string;
      readonly cols: number;
      readonly rows: number;
    },
  ) {
    const { cols, rows, cwd = "/" } = options;
    const assignments = Object.entries(options.env).map(([name, value]) => `${name}=${value}`);
    const size = ["-x", String(cols), "-y", String(rows)];
    const words = ["env", "-i", "TERM=screen-256color", ...assignments, ...command];
    const settings = ["set", "-g", "status", "off", ";", "set", "-g", "remain-on-exit", "on", ";"];
    const session = ["new-session", "-d", ...size, "-c", cwd, ...words];
    this.#tmux("-f", "/dev/null", "start-server", ";", ...settings, ...session);
    this.resize(cols, rows);
  }

  type(text: string): void {
    this.#tmux("send-keys", "-l", text);
  }

  resize(cols: number, rows: number): void {
    this.#tmux("resize-window", "-x", String(cols), "-y", String(rows));
  }

  /** Text with its colours, row by row, and where the cursor is. */
  get picture(): string {
    return this.#tmux("capture-pane", "-p", "-e") + this.cursor;
  }

  get text(): string {
    return this.#tmux("capture-pane", "-p");
  }

  get cursor(): string {
    return this.#tmux("display-message", "-p", "#{cursor_x},#{cursor_y}");
  }

  async shows(pattern: RegExp, limitMs = 20_000): Promise<void> {
    await this.#until(
      () => pattern.test(this.text),
      () => `Not shown: ${pattern}`,
      limitMs,
    );
  }

  async looksLike(other: TmuxScreen, limitMs = 20_000): Promise<void> {
    const words = (): string => `Not alike, wanted:\n${other.picture}`;
    await this.#until(() => this.picture === other.picture, words, limitMs);
  }

  close(): void {
    this.#tmux("kill-server");
    rmSync(this.#socket, { force: true });
  }

  async #until(holds: () => boolean, words: () => string, limitMs: number): Promise<void> {
    const untilMs = performance.now() + limitMs;
    while (!holds()) {
      if (performance.now() > untilMs) throw new Error(`${words()}\n--- was:\n${this.picture}`);
      await Bun.sleep(50);
    }
  }

  #tmux(...words: string[]): string {
    const env = { PATH: process.env["PATH"] ?? "", LANG: "C.UTF-8", TERM: "xterm-256color" };
    const { stdout, stderr, exitCode } = Bun.spawnSync(
      ["tmux", "-u", "-S", this.#socket, ...words],
      {
        env,
      },
    );
    if (exitCode !== 0) throw new Error(`tmux ${words.join(" ")}: ${stderr.toString()}`);
    return stdout.toString();
  }
}
