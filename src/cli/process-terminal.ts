import { writeSync } from "node:fs";
import { isTerminal } from "../system/is-terminal.ts";
import { takesOutput, TerminalSettings } from "../system/raw-terminal.ts";
import type { InputMode, ScreenModes } from "./context.ts";

/**
 * The modes of the terminal this process was given, and their undoing: other modes are entered last
 * and left first, on every way out that a process can see. (Nobody sees SIGKILL: `reset` helps then.)
 */
export class ProcessTerminal {
  #mode: InputMode = "lines";
  #screen: ScreenModes | undefined;
  #settings: TerminalSettings | undefined;
  #isScreenUndone = false;
  #guarded = false;
  readonly #continued = new Set<() => void>();

  setMode(mode: InputMode, screen?: ScreenModes): void {
    if (!isTerminal(0)) return;
    if (mode === "lines") {
      this.restore();
      return;
    }
    this.#guard();
    this.#screen = screen ?? this.#screen;
    this.#mode = mode;
    this.#settings ??= new TerminalSettings(0);
    this.#settings.enter(mode);
  }

  /** Idempotent, synchronous: runs in exit and signal handlers. */
  restore(): void {
    this.#leave();
    this.#mode = "lines";
  }

  /** Goes on in `#resume`, when the shell says so. */
  suspend(): void {
    this.#leave();
    process.kill(process.pid, "SIGSTOP");
  }

  onContinue(listener: () => void): () => void {
    this.#guard();
    this.#continued.add(listener);
    return () => void this.#continued.delete(listener);
  }

  #leave(): void {
    if (this.#mode === "lines") return;
    try {
      this.#settings?.restore();
      if (!this.#isScreenUndone) this.#say(this.#screen?.undo() ?? "");
      this.#isScreenUndone = true;
    } catch {
      // The terminal itself is gone (hang-up): nothing is left to restore.
    }
  }

  readonly #resume = (): void => {
    if (this.#mode !== "lines") {
      try {
        // Again even where only we were stopped: a shell takes its terminal's modes back.
        this.#settings?.enter(this.#mode);
        if (this.#isScreenUndone) this.#say(this.#screen?.redo() ?? "");
        this.#isScreenUndone = false;
      } catch {
        // As above.
      }
    }
    for (const listener of this.#continued) listener();
  };

  /**
   * A fault of ours. Bun only reports what is thrown while the main module still waits: the terminal
   * would be left to a program that is half dead.
   */
  readonly #crash = (error: unknown): never => {
    this.restore();
    const words = error instanceof Error ? (error.stack ?? error.message) : String(error);
    if (takesOutput(2, patienceMs)) writeSync(2, `bug: ${words} (FV-INT-001)\n`);
    // oxlint-disable-next-line unicorn/no-process-exit -- nobody is left to whom it could be thrown
    process.exit(1);
  };

  /** A terminal that takes nothing is left with its screen as it is. */
  #say(bytes: string): void {
    if (bytes === "" || !isTerminal(1) || !takesOutput(1, patienceMs)) return;
    writeSync(1, bytes);
  }

  #guard(): void {
    if (this.#guarded) return;
    this.#guarded = true;
    process.on("exit", () => this.restore());
    for (const event of ["uncaughtException", "unhandledRejection"]) process.on(event, this.#crash);
    process.on("SIGTSTP", () => this.suspend());
    process.on("SIGCONT", this.#resume);
  }
}

const patienceMs = 50;
