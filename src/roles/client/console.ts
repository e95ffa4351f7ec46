import type { Context } from "../../cli/context.ts";
import { formatClock } from "../../cli/duration.ts";
import type { Exit } from "../../protocol/message.ts";
import { type EscapeAction, EscapeKeys, escapeHelp } from "./escape-keys.ts";
import type { StopSignal } from "./exit-status.ts";
import type { Forwards } from "./forwards.ts";
import type { AttestedLink, LinkState } from "./attested-link.ts";
import { SessionRun, type SessionIo, type SessionPlan } from "./session-run.ts";
import { terminalSize } from "./session-request.ts";
import { StatusLine } from "./status-line.ts";
import { TerminalModes } from "./terminal-modes.ts";

export type ConsoleEnd =
  | { readonly kind: "exit"; readonly exit: Exit }
  /** The user left; the session goes on. */
  | { readonly kind: "left" }
  | { readonly kind: "stopped"; readonly signal: StopSignal };

/**
 * A local terminal joined to a session: raw mode, size, escape keys, the link's state on the last
 * line while it is down. Whatever happens, the terminal is given back as it was.
 */
export class Console {
  readonly #context: Context;
  readonly #link: AttestedLink;
  readonly #forwards: Forwards | undefined;
  readonly #run: SessionRun;
  readonly #modes = new TerminalModes();
  readonly #keys: EscapeKeys | undefined;
  readonly #status: StatusLine;
  readonly #end = Promise.withResolvers<ConsoleEnd>();

  constructor(
    context: Context,
    link: AttestedLink,
    plan: SessionPlan,
    options: { readonly forwards?: Forwards; readonly escapes?: boolean } = {},
  ) {
    this.#context = context;
    this.#link = link;
    this.#forwards = options.forwards;
    this.#keys = options.escapes === false ? undefined : new EscapeKeys();
    this.#status = new StatusLine(context.stdout);
    const io: SessionIo = {
      output: async (_stream, bytes) => {
        this.#modes.push(bytes);
        await context.stdout.write(bytes);
      },
      lost: (_stream, lostBytes) => this.#tell(`${lostBytes} bytes of output were dropped`),
      attached: (reply, again) => this.#attached(again, reply.created),
    };
    this.#run = new SessionRun(link, { ...plan, size: () => terminalSize(context) }, io);
  }

  async run(): Promise<ConsoleEnd> {
    const { stdin, stdout, onStop } = this.#context;
    const unsubscribe = [
      stdout.onResize(() => {
        const { rows, cols } = terminalSize(this.#context);
        this.#run.resize(rows, cols);
      }),
      onStop((signal) => this.#end.resolve({ kind: "stopped", signal })),
    ];
    this.#run
      .run()
      .then((exit) => this.#end.resolve({ kind: "exit", exit }))
      .catch((error: unknown) => this.#end.reject(error));
    this.#pumpInput().catch((error: unknown) => this.#end.reject(error));
    try {
      return await this.#end.promise;
    } finally {
      for (const off of unsubscribe) off();
      this.#status.hide();
      stdin.setRawMode(false);
    }
  }

  /** For the link: shown only while it is down. */
  linkState(state: LinkState): void {
    if (state.kind === "up") {
      this.#status.hide();
      return;
    }
    this.#status.show(
      () =>
        `── link down ${formatClock(this.#context.monotonicMs() - state.sinceMs)} · retrying (${state.attempt + 1}) · ~. leaves, session stays ──`,
    );
  }

  #attached(again: boolean, created: boolean): void {
    this.#status.hide();
    // Entered last, when there is something to talk to: before that Ctrl-C is still ours.
    if (!again) this.#context.stdin.setRawMode(true, () => this.#modes.undo());
    if (!created) this.#kick();
  }

  /** A change of size makes full-screen programs paint themselves anew. */
  #kick(): void {
    const { rows, cols } = terminalSize(this.#context);
    this.#run.resize(Math.max(1, rows - 1), cols);
    setTimeout(() => this.#run.resize(rows, cols), kickMs);
  }

  async #pumpInput(): Promise<void> {
    for await (const bytes of this.#context.stdin.read()) {
      for (const part of this.#keys?.push(bytes) ?? [{ kind: "bytes" as const, bytes }]) {
        if (part.kind === "bytes") await this.#run.feed(part.bytes);
        else await this.#act(part.action);
      }
    }
    // The terminal is gone; the session is not.
    this.#end.resolve({ kind: "stopped", signal: "SIGHUP" });
  }

  async #act(action: EscapeAction): Promise<void> {
    switch (action) {
      case "leave":
        this.#end.resolve({ kind: "left" });
        return;
      case "help":
        return this.#tell(escapeHelp);
      case "status":
        return this.#tell(this.#describeLink());
      case "retry":
        this.#link.retryNow();
        return;
      case "forwards": {
        const lines = this.#forwards?.lines ?? [];
        return this.#tell(lines.length === 0 ? "no forwards" : lines.join("\r\n"));
      }
    }
  }

  #describeLink(): string {
    const { rttMs, lostPackets, sentPackets } = this.#link.connectionStats;
    const { machineId, region } = this.#link.login.machine;
    return `machine ${machineId} ${region ?? ""} · round trip ${rttMs.toFixed(1)} ms · ${lostPackets} of ${sentPackets} packets lost`;
  }

  async #tell(words: string): Promise<void> {
    await this.#context.stderr.write(`\r\n${words}\r\n`);
  }
}

/** Long enough for the two sizes to arrive apart. */
const kickMs = 30;
