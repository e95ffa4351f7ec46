import type { Connection, PseudoTtyInfo, ServerChannel, Session } from "ssh2";
import * as v from "valibot";
import type { ByteStream } from "../../../protocol/byte-stream.ts";
import { RemoteError } from "../../../protocol/errors.ts";
import { FrameStream } from "../../../protocol/frame.ts";
import { request } from "../../../protocol/message.ts";
import type { Exit, SessionOpenRequest } from "../../../protocol/session-message.ts";
import type { Log } from "../../../system/log.ts";
import { splice } from "../../../system/splice.ts";
import type { TerminalMode } from "../../../system/pty-modes.ts";
import { connectUnix } from "../../../system/tcp-stream.ts";
import { within } from "../../../system/within.ts";
import type { Account } from "../account.ts";
import { initLimits } from "../limits.ts";
import type { AgentSockets } from "./agent-sockets.ts";
import { ChannelStream } from "./channel-stream.ts";
import { sshLimits } from "./limits.ts";
import { SshEnvironment } from "./ssh-environment.ts";
import { SshSessionRun } from "./ssh-session-run.ts";
import { signalName, signalNumber } from "./ssh-signals.ts";
import { terminalModesOf } from "./ssh2-terminal-modes.ts";
import type { SshTransport } from "./ssh-transport.ts";

export interface SshSessionParts {
  readonly client: Connection;
  readonly transport: SshTransport;
  readonly account: Account;
  readonly keeperSocket: string;
  readonly agents: AgentSockets;
  readonly log: Log;
  /** Offers the client's agent to the guest; resolves with the path of its socket, or with nothing. */
  readonly forwardAgent: () => Promise<string | undefined>;
}

type Terminal = Pick<PseudoTtyInfo, "term" | "rows" | "cols"> & {
  readonly modes: readonly TerminalMode[];
};

/** A session channel, from what its client asks before the start to the end of what it started. */
export class SshSession {
  readonly #parts: SshSessionParts;
  readonly #environment = new SshEnvironment();
  #terminal: Terminal | undefined;
  #run: SshSessionRun | undefined;
  #agent: Promise<string | undefined> | undefined;

  /** It does what the client asks for on that channel, until the client closes it. */
  static listen(session: Session, parts: SshSessionParts): void {
    new SshSession(parts).#listen(session);
  }

  private constructor(parts: SshSessionParts) {
    this.#parts = parts;
  }

  #listen(session: Session): void {
    session.on("env", (accept, reject, { key, val }) => {
      if (this.#environment.set(key, val)) accept?.();
      else reject?.();
    });
    session.on("pty", (accept, _reject, info) => {
      this.#terminal = { ...info, modes: terminalModesOf(this.#parts.client) };
      accept?.();
    });
    session.on("window-change", (accept, _reject, { rows, cols }) => {
      this.#run?.resize(rows, cols);
      accept?.();
    });
    session.on("signal", (accept, reject, { name }) => {
      const signal = signalNumber(name);
      if (signal === undefined) reject?.();
      else {
        this.#run?.signal(signal);
        accept?.();
      }
    });
    session.on("auth-agent", (accept) => {
      this.#agent ??= this.#parts.forwardAgent();
      accept?.();
    });
    session.on("x11", (_accept, reject) => reject?.());
    session.on("shell", (accept) => void this.#start(accept(), {}));
    session.on("exec", (accept, _reject, { command }) => void this.#start(accept(), { command }));
    session.on("subsystem", (accept, reject, { name }) => {
      if (name === "sftp") void this.#serveFiles(accept());
      else reject?.();
    });
  }

  async #start(channel: ServerChannel, wish: { readonly command?: string }): Promise<void> {
    const stream = new ChannelStream(channel, this.#parts.transport);
    const run = new SshSessionRun(this.#parts.keeperSocket, stream);
    this.#run = run;
    try {
      const exit = await run.run(await this.#openRequest(wish));
      if (exit !== undefined) tell(channel, exit);
    } catch (error) {
      const { message, code } = this.#excuse(error);
      await within(stream.writeError(new TextEncoder().encode(message)), sshLimits.closingMs).catch(
        () => undefined,
      );
      channel.exit(code);
    }
    await stream.close();
  }

  async #openRequest(wish: { readonly command?: string }): Promise<SessionOpenRequest> {
    const { account, agents } = this.#parts;
    const terminal = this.#terminal;
    const agent = (await this.#agent) ?? agents.pathFor(account);
    return {
      type: "session-open",
      id: randomId(),
      client: randomId(),
      tty: terminal !== undefined,
      ...(terminal === undefined
        ? {}
        : { ...sizeOf(terminal), modes: terminal.modes.map(([opcode, value]) => [opcode, value]) }),
      ...wish,
      user: account.name,
      env: {
        ...this.#environment.variables,
        ...(terminal?.term ? { TERM: terminal.term } : {}),
        ...(agent === undefined ? {} : { SSH_AUTH_SOCK: agent }),
        ...connectionVariables,
      },
      context: "ssh",
    };
  }

  /** As a shell tells it: what is wrong on stderr, and why in the status. */
  #excuse(error: unknown): { readonly message: string; readonly code: number } {
    if (!(error instanceof RemoteError)) {
      const detail = error instanceof Error ? error.stack : String(error);
      this.#parts.log("error", "ssh-session-failed", { detail });
      return {
        message: "fly-vault: the machine could not do this; its log says why\r\n",
        code: 255,
      };
    }
    const hint = error.hint === undefined ? "" : ` (${error.hint})`;
    const message = `fly-vault: ${error.message}${hint}\r\n`;
    return { message, code: exitCodes[error.code] ?? 255 };
  }

  async #serveFiles(channel: ServerChannel): Promise<void> {
    const { keeperSocket, account, transport } = this.#parts;
    const stream = new ChannelStream(channel, transport);
    let frames: FrameStream | undefined;
    try {
      frames = new FrameStream(await connectUnix(keeperSocket, initLimits.keeperConnectMs));
      const { stream: keeper } = frames;
      await request(frames, { type: "sftp", user: account.name }, v.object({}));
      void stream.closed.then(() => keeper.abort(0));
      await splice(endingWell(stream, channel), frames.release());
    } catch (error) {
      frames?.stream.abort(0);
      const { message, code } = this.#excuse(error);
      await stream.writeError(new TextEncoder().encode(message)).catch(() => undefined);
      channel.exit(code);
    }
    await stream.close();
  }
}

/** Its end of output comes with a status, which has to be said before. */
function endingWell(stream: ChannelStream, channel: ServerChannel): ByteStream {
  return {
    read: () => stream.read(),
    write: (bytes) => stream.write(bytes),
    end: () => {
      channel.exit(0);
      return stream.end();
    },
    abort: (code) => stream.abort(code),
  };
}

/** Programs look for these to know that they are run from afar; the addresses mean nothing here. */
const connectionVariables = {
  SSH_CONNECTION: "127.0.0.1 0 127.0.0.1 22",
  SSH_CLIENT: "127.0.0.1 0 22",
} as const;

function tell(channel: ServerChannel, exit: Exit): void {
  if ("code" in exit) channel.exit(exit.code);
  else channel.exit(signalName(exit.signal), false, exit.out_of_memory ? "out of memory" : "");
}

const exitCodes: Readonly<Record<string, number>> = {
  "command-not-found": 127,
  "command-not-executable": 126,
};

function sizeOf({ rows, cols }: Terminal): { readonly rows: number; readonly cols: number } {
  // Some clients do not know their size.
  return { rows: inRange(rows, 24), cols: inRange(cols, 80) };
}

function inRange(value: number, otherwise: number): number {
  return value >= 1 && value <= 65_535 ? value : otherwise;
}

function randomId(): string {
  return crypto.randomUUID();
}
