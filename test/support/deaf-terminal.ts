import { closeSync, readSync, writeSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { openDevpts, openPty, setTerminalSize } from "../../src/system/pty.ts";
import { TerminalSettings } from "../../src/system/raw-terminal.ts";

const main = fileURLToPath(new URL("../../src/main.ts", import.meta.url));

/** The client on a terminal whose window takes no output unless it is told to. */
export class DeafTerminal {
  readonly child: Bun.Subprocess;
  readonly #masterFd: number;
  readonly #slaveFd: number;
  #text = "";

  constructor(argv: readonly string[], env: Readonly<Record<string, string>>) {
    const devpts = openDevpts("/dev/pts");
    const { masterFd, slaveFd, path } = openPty(devpts);
    closeSync(devpts);
    this.#masterFd = masterFd;
    this.#slaveFd = slaveFd;
    setTerminalSize(masterFd, { rows: 30, cols: 100 });
    // Opened by the child: what Bun hands on does not wait, a shell's terminal does.
    const open = 'exec 0<>"$0" 1>&0 2>&0 setsid --ctty "$@"';
    this.child = Bun.spawn(["sh", "-c", open, path, process.execPath, main, ...argv], {
      env: { ...env },
      cwd: "/",
      stdio: ["ignore", "ignore", "inherit"],
      timeout: 50_000,
      killSignal: "SIGKILL",
    });
  }

  /** Takes what is there until it matches, and no more. */
  async shows(pattern: RegExp, limitMs = 20_000): Promise<void> {
    const untilMs = performance.now() + limitMs;
    const bytes = new Uint8Array(4096);
    while (!pattern.test(this.#text)) {
      if (performance.now() > untilMs) throw new Error(`Not shown: ${pattern}\n${this.#text}`);
      try {
        const length = readSync(this.#masterFd, bytes);
        this.#text += Buffer.from(bytes.subarray(0, length)).toString();
      } catch {
        await Bun.sleep(10);
      }
    }
  }

  type(keys: string): void {
    writeSync(this.#masterFd, keys);
  }

  /** Whether lines are edited and echoed, as a shell wants to find it. */
  get isRestored(): boolean {
    return new TerminalSettings(this.#slaveFd).editsLines;
  }

  close(): void {
    this.child.kill("SIGKILL");
    closeSync(this.#masterFd);
    closeSync(this.#slaveFd);
  }
}
