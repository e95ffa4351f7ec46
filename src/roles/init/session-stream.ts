import { RemoteError } from "../../protocol/errors.ts";
import { type FrameStream, frameTypes } from "../../protocol/frame.ts";
import { encodeJson, sendError } from "../../protocol/message.ts";
import type {
  SessionAttachRequest,
  SessionOpenRequest,
  SessionReply,
} from "../../protocol/session-message.ts";
import type { SessionAttachment } from "../../protocol/session-server.ts";
import type { TerminalSize } from "../../system/pty.ts";
import { late, within } from "../../system/within.ts";
import { initLimits } from "./limits.ts";
import type { AttachedClient, Session } from "./session.ts";
import type { SessionTable } from "./session-table.ts";
import { serveView } from "./session-view-stream.ts";
import { Wake } from "./wake.ts";

/** One connection of a client to a session, from its request to its end. */
export async function serveSession(
  frames: FrameStream,
  request: SessionOpenRequest | SessionAttachRequest,
  table: SessionTable,
): Promise<void> {
  if (request.type === "session-open") {
    const { session, created } = table.open(request);
    if (request.detach === true) {
      await leaveAlone(frames, session, created);
      return;
    }
    await new SessionStream(frames, session, request, created).run();
    return;
  }
  const session = table.find(request);
  if (request.mode === "view") {
    await serveView(frames, session, request);
    return;
  }
  await new SessionStream(frames, session, request, false).run();
}

/** Nobody feeds it, so it has no input to wait for; on a terminal somebody may come and type. */
async function leaveAlone(frames: FrameStream, session: Session, created: boolean): Promise<void> {
  if (created && !session.request.tty) session.endInput();
  const reply: SessionReply = { ...session.identity, created, stdin_offset: 0 };
  await frames.write(frameTypes.ok, encodeJson(reply));
}

class SessionStream {
  readonly #frames: FrameStream;
  readonly #session: Session;
  readonly #attachment: SessionAttachment;
  readonly #request: SessionOpenRequest | SessionAttachRequest;
  readonly #created: boolean;
  /** Opened it or took it over. */
  readonly #drives: boolean;
  readonly #wake = new Wake();
  #over = false;
  readonly #dismissed = Promise.withResolvers<RemoteError>();
  readonly #client: AttachedClient;

  constructor(
    frames: FrameStream,
    session: Session,
    request: SessionOpenRequest | SessionAttachRequest,
    created: boolean,
  ) {
    this.#drives = request.type === "session-open" || request.mode === "take-over";
    // One that drives makes room (`Session.takeOver`).
    if (!this.#drives && session.clientCount >= initLimits.clientsPerSessionMax)
      throw new RemoteError("limit", "Too many clients share this session");
    // A client process that attaches for the first time does not know a generation yet.
    if (request.type === "session-attach" && request.generation !== undefined)
      session.checkReturn(request.client);
    // One that comes back after a lost link has done nothing.
    else session.onUse();
    this.#frames = frames;
    this.#session = session;
    this.#request = request;
    this.#created = created;
    this.#attachment = session.state.attach({
      id: request.client,
      shown: shownOf(request),
      holdsBack: this.#drives,
    });
    this.#client = {
      client: request.client,
      label: request.client_label,
      sinceMs: session.nowMs,
      drives: this.#drives,
      wake: this.#wake,
      dismiss: (reason: RemoteError): void => {
        // Neither output after the error nor one more keystroke.
        this.#over = true;
        this.#dismissed.resolve(reason);
      },
    };
  }

  async run(): Promise<void> {
    const session = this.#session;
    session.addClient(this.#client);
    try {
      if (this.#drives) session.takeOver(this.#client);
      const { rows, cols } = this.#request;
      if (rows !== undefined && cols !== undefined)
        session.resize(this.#client, { rows, cols }, false);
      await this.#frames.write(frameTypes.ok, encodeJson(this.#reply()));
      // Whatever ends first ends all: what is left of the others fails on the closed stream.
      const dismissal = await Promise.race([
        this.#send(),
        this.#receive(),
        this.#dismissed.promise,
      ]);
      if (dismissal !== undefined) await this.#sayGoodbye(dismissal);
    } finally {
      this.#over = true;
      this.#wake.notify();
      session.removeClient(this.#client);
    }
  }

  /** The one that lost may be a connection that died unnoticed: it is not waited for. */
  async #sayGoodbye(reason: RemoteError): Promise<void> {
    const told = await within(sendError(this.#frames, reason), initLimits.goodbyeMs);
    if (told === late) this.#frames.stream.abort(0);
  }

  #reply(): SessionReply {
    const { term } = this.#session.program;
    return {
      ...this.#session.identity,
      created: this.#created,
      stdout_end: this.#session.state.stdout.endOffset,
      ...(this.#created && term !== undefined ? { term } : {}),
      stdin_offset: this.#attachment.stdinOffset,
    };
  }

  async #send(): Promise<void> {
    while (!this.#over) {
      const frame = this.#attachment.poll();
      if (frame === undefined) {
        await this.#wake.wait();
        continue;
      }
      await this.#frames.writeEncoded(frame);
      if (frame[0] === frameTypes.exit && this.#drives) this.#session.tellEnd();
    }
  }

  /** Until the client has noted the exit, ends its half or is gone. */
  async #receive(): Promise<void> {
    for (;;) {
      const frame = await this.#frames.read();
      if (frame === null || this.#over) return;
      // Before it counts as received: the client may send it again.
      if (frame.type === frameTypes.stdin && this.#session.inputIsFull)
        throw new RemoteError("limit", "The command has too much unread input already");
      const event = this.#attachment.receive(frame);
      switch (event.kind) {
        case "stdin":
          this.#passInput(event.bytes);
          break;
        case "stdin-end":
          if (this.#drives) this.#session.endInput();
          break;
        case "room":
          this.#session.roomChanged();
          break;
        case "resize":
          this.#resize({ rows: event.rows, cols: event.cols });
          break;
        case "signal":
          this.#session.signal(event.signal);
          break;
        case "exit-ack":
          if (this.#drives) this.#session.acknowledge();
          return;
      }
    }
  }

  /** The size it has already: the client asks for a screen that is drawn anew. */
  #resize(size: TerminalSize): void {
    const { rows, cols } = this.#client.size ?? {};
    this.#session.resize(this.#client, size, rows === size.rows && cols === size.cols);
  }

  #passInput(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#session.writeInput(bytes, () => {
      this.#attachment.stdinTaken(bytes.length);
      this.#wake.notify();
    });
  }
}

function shownOf(request: SessionOpenRequest | SessionAttachRequest): {
  readonly stdout: number;
  readonly stderr: number;
} {
  return request.type === "session-open"
    ? { stdout: 0, stderr: 0 }
    : { stdout: request.stdout_offset, stderr: request.stderr_offset };
}
