import type { Context } from "../../../cli/context.ts";
import { formatClock } from "../../../cli/duration.ts";
import { printable } from "../../../cli/printable.ts";
import { formatSize } from "../../../cli/size.ts";
import type { Exit, SessionReply } from "../../../protocol/session-message.ts";
import type { AttestedLink, LinkState } from "../link/attested-link.ts";
import type { EscapeAction } from "./escape-keys.ts";
import type { StopSignal } from "./exit-status.ts";
import type { LivePorts } from "../forward/auto-forwards.ts";
import { type LiveForwards, runForwardLine } from "../forward/forward-line.ts";
import type { Keyboard } from "./keyboard.ts";
import { askLine } from "./ask-line.ts";
import { NoteLines } from "./note-lines.ts";
import { Replay } from "./replay.ts";
import { within } from "../../../system/within.ts";
import { clientLimits } from "../limits.ts";
import { formatRoundTrip } from "../link/round-trip.ts";
import { SessionRun, type SessionIo, type SessionPlan } from "./session-run.ts";
import { terminalSize } from "./session-request.ts";
import { StatusLine } from "./status-line.ts";
import { TerminalModes } from "./terminal-modes.ts";

export type ConsoleEnd =
  | { readonly kind: "exit"; readonly exit: Exit }
  /** The user left; the session goes on. */
  | { readonly kind: "left" }
  | { readonly kind: "stopped"; readonly signal: StopSignal };

export interface ConsoleParts {
  readonly keyboard: Keyboard;
  readonly forwards?: LiveForwards | undefined;
  /** For `~P` and `~p`; what it tells is shown here. */
  readonly ports?: LivePorts | undefined;
}

/**
 * A local terminal joined to a session: raw mode, size, escape keys, the link's state on the last
 * line while it is down. Whatever happens, the terminal is given back as it was.
 */
export class Console {
  readonly #context: Context;
  readonly #link: AttestedLink;
  readonly #parts: ConsoleParts;
  readonly #run: SessionRun;
  readonly #modes = new TerminalModes();
  readonly #status: StatusLine;
  readonly #notes: NoteLines;
  readonly #end = Promise.withResolvers<ConsoleEnd>();
  /** Output from before we came, while it is shown. */
  #replay: Replay | undefined;
  #linkState: LinkState = { kind: "up" };
  /** While somebody is asked something here, output waits. */
  #asking: Promise<unknown> | undefined;

  constructor(context: Context, link: AttestedLink, plan: SessionPlan, parts: ConsoleParts) {
    this.#context = context;
    this.#link = link;
    this.#parts = parts;
    this.#status = new StatusLine(context.stdout, () => !this.#modes.alternateScreen);
    this.#notes = new NoteLines(context, () => this.#ownsRows);
    const io: SessionIo = {
      output: async (_stream, bytes) => {
        await this.#asking;
        const shown = this.#replay?.push(bytes) ?? bytes;
        this.#modes.push(shown);
        await context.stdout.write(shown);
        this.#endReplay();
        this.#notes.changed();
      },
      lost: async (_stream, lostBytes) => {
        this.#replay?.skip(lostBytes);
        this.#sendSize();
        await this.#tell(`… ${formatSize(lostBytes)} of output were dropped …`);
      },
      attached: (reply, again) => this.#attached(reply, again),
    };
    this.#run = new SessionRun(link, { ...plan, size: () => terminalSize(context) }, io);
  }

  async run(): Promise<ConsoleEnd> {
    const { stdin, stdout, onStop, onContinue } = this.#context;
    const unsubscribe = [
      stdout.onResize(() => this.#sendSize()),
      onStop((signal) => this.#end.resolve({ kind: "stopped", signal })),
      // The shell has drawn over the screen. A size that is none the less the same asks for a repaint.
      onContinue(() => this.#sendSize()),
    ];
    this.#parts.keyboard.onAction = (action) =>
      void this.#act(action)
        .catch(async (error: unknown) => this.#tell(describe(error)))
        .catch(() => undefined);
    this.#parts.keyboard.start();
    const fail = (error: unknown): void => this.#end.reject(error);
    this.#run.run().then((exit) => this.#end.resolve({ kind: "exit", exit }), fail);
    this.#pumpInput().catch(fail);
    try {
      return await this.#end.promise;
    } finally {
      for (const off of unsubscribe) off();
      this.#status.hide();
      this.#notes.close();
      stdin.setMode("lines");
    }
  }

  /** For the link: shown only while it is down. */
  linkState(state: LinkState): void {
    this.#linkState = state;
    if (state.kind === "up") {
      this.#status.hide();
      this.#notes.changed();
      return;
    }
    this.#status.show(
      () =>
        `── link down ${this.#downFor(state.sinceMs)} · retrying (${state.attempt + 1})${this.#leaveHint} ──`,
    );
  }

  #attached(reply: SessionReply, again: boolean): void {
    this.#status.hide();
    if (again) {
      // Where lines scroll nothing was drawn over; a size that is the same asks for a repaint.
      if (this.#modes.alternateScreen) this.#sendSize();
      return;
    }
    // Entered last, when there is something to talk to.
    this.#context.stdin.setMode("raw", this.#modes);
    if (!reply.created) this.#replay = new Replay(reply.stdout_end ?? 0);
    this.#endReplay();
    const tell = (line: string): void => this.#notes.tell(line);
    const { escape } = this.#parts.keyboard;
    this.#parts.ports?.begin({ session: reply.id, escape, tell });
    if (reply.term === undefined) return;
    const [wanted, given] = [this.#context.env["TERM"] ?? "", reply.term].map(printable);
    void this.#tell(`TERM=${wanted} is not known there; the session has ${given}`).catch(
      () => undefined,
    );
  }

  #endReplay(): void {
    if (this.#replay?.isOver !== true) return;
    this.#replay = undefined;
    this.#sendSize();
  }

  /** A size that is none anew asks for a repaint. */
  #sendSize(): void {
    const { rows, cols } = terminalSize(this.#context);
    this.#run.resize(rows, cols);
  }

  async #pumpInput(): Promise<void> {
    for (;;) {
      const bytes = await this.#parts.keyboard.next();
      if (bytes === null) break;
      await this.#run.feed(bytes);
    }
    // The terminal is gone; the session is not.
    this.#end.resolve({ kind: "stopped", signal: "SIGHUP" });
  }

  async #act(action: EscapeAction): Promise<void> {
    switch (action) {
      case "leave":
        return this.#leave();
      case "help":
        return this.#tell(this.#parts.keyboard.help);
      case "status":
        return this.#tell(await this.#describeLink());
      case "retry":
        this.#link.retryNow();
        return;
      case "break":
        this.#run.signal(sigint);
        return;
      case "suspend":
        this.#context.suspend();
        return;
      case "forwards":
        return this.#tell(list(this.#parts.forwards?.lines, "no forwards"));
      case "ports":
        return this.#tell(list(this.#parts.ports?.lines, "nothing listens in the vault"));
      case "port":
        return this.#togglePort();
      case "command":
        return this.#runCommandLine();
      case "end":
        return this.#endSession();
    }
  }

  /** What was typed before is still for the session, where it can be there soon; what comes after is for nobody. */
  async #leave(): Promise<void> {
    this.#parts.keyboard.capture(() => "more");
    // One turn, and what the keyboard has is with the session.
    const sent = Bun.sleep(0).then(async () => this.#run.inputTaken());
    if (this.#linkState.kind === "up") await within(sent, clientLimits.leaveMs);
    this.#end.resolve({ kind: "left" });
  }

  async #runCommandLine(): Promise<void> {
    const { forwards } = this.#parts;
    const line = await this.#ask("\r\nfly-vault> ");
    if (forwards === undefined || line === undefined || line.trim() === "") return;
    await this.#tell(await runForwardLine(line, forwards));
  }

  async #togglePort(): Promise<void> {
    const text = await this.#ask("\r\nport of the vault to forward, or not to forward any more: ");
    const { ports } = this.#parts;
    if (ports === undefined || text === undefined || text.trim() === "") return;
    const isNumber = /^\d{1,5}$/.test(text.trim());
    await this.#tell(isNumber ? await ports.toggle(Number(text)) : "a port is a number");
  }

  async #endSession(): Promise<void> {
    const answer = await this.#ask("\r\nend the session and what runs in it? [y/N] ");
    if (answer !== undefined && /^y(es)?$/i.test(answer.trim())) await this.#run.hangUp();
  }

  async #ask(question: string): Promise<string | undefined> {
    if (this.#asking !== undefined) return undefined;
    const say = (text: string): void =>
      void this.#context.stderr.write(text).catch(() => undefined);
    const over = this.#end.promise.catch(() => undefined);
    this.#status.giveWay();
    const asking = askLine(this.#parts.keyboard, question, say, over);
    this.#asking = asking.finally(() => {
      this.#asking = undefined;
      this.#notes.changed();
    });
    return asking;
  }

  async #describeLink(): Promise<string> {
    const state = this.#linkState;
    if (state.kind === "down")
      return `link down for ${this.#downFor(state.sinceMs)}, attempt ${state.attempt + 1}`;
    const { rttMs, lostPackets, sentPackets } = await this.#link.freshStats();
    const { machineId, region } = this.#link.login.machine;
    return `machine ${machineId} ${region ?? ""} · round trip ${formatRoundTrip(rttMs)} · ${lostPackets} of ${sentPackets} packets lost`;
  }

  /** Whether lines of ours may stand between those of the session. */
  get #ownsRows(): boolean {
    const isShown = this.#replay === undefined && this.#asking === undefined;
    return isShown && this.#linkState.kind === "up" && !this.#modes.alternateScreen;
  }

  get #leaveHint(): string {
    const { escape } = this.#parts.keyboard;
    return escape === undefined ? "" : ` · ${escape}. leaves, session stays`;
  }

  #downFor(sinceMs: number): string {
    return formatClock(this.#context.monotonicMs() - sinceMs);
  }

  async #tell(words: string): Promise<void> {
    this.#status.giveWay();
    await this.#context.stderr.write(`\r\n${words}\r\n`);
  }
}

function list(lines: readonly string[] | undefined, none: string): string {
  return lines === undefined || lines.length === 0 ? none : lines.join("\r\n");
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

const sigint = 2;
