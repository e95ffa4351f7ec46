import * as v from "valibot";
import type { ByteStream } from "../../../protocol/byte-stream.ts";
import { StreamError } from "../../../protocol/byte-stream.ts";
import { RemoteError, WireError } from "../../../protocol/errors.ts";
import { FrameStream, frameTypes } from "../../../protocol/frame.ts";
import {
  type ForwardListenRequest,
  incomingSchema,
  listenReplySchema,
} from "../../../protocol/forward-message.ts";
import { decodeError, decodeJson, request } from "../../../protocol/message.ts";
import { splice } from "../../../system/splice.ts";
import { connectTcp, connectUnix, SocketError } from "../../../system/tcp-stream.ts";
import { within } from "../../../system/within.ts";
import { answer } from "../link/answer.ts";
import type { LinkConnection } from "../link/attested-link.ts";
import type { ForwardDoor } from "./forward-door.ts";
import { type ForwardEnd, showEnd, showPorts } from "./forward-spec.ts";
import { clientLimits } from "../limits.ts";
import { isLinkLoss } from "../link/over-link.ts";

export interface RemoteListenOptions {
  /** Random, and the same over all reconnects: by it the vault knows whose listener it is. */
  readonly id: string;
  readonly at: ForwardEnd;
  readonly target: ForwardEnd;
  readonly gateway: boolean;
  readonly note: (line: string) => void;
  readonly changed: () => void;
}

/** One listener in the vault, asked for again over every new connection. */
export class RemoteListen {
  readonly #door: ForwardDoor;
  readonly #options: RemoteListenOptions;
  readonly #started = Promise.withResolvers<void>();
  #port: number;
  #isUp = false;
  #isClosed = false;
  #connections = 0;
  /** The stream of the listener while the vault has it. */
  #frames: FrameStream | undefined;
  #heardOut = Promise.withResolvers<void>();

  constructor(door: ForwardDoor, options: RemoteListenOptions) {
    this.#door = door;
    this.#options = options;
    this.#port = options.at.kind === "unix" ? 0 : options.at.port;
  }

  /** Resolves once the vault has said yes, or no. */
  get started(): Promise<void> {
    return this.#started.promise;
  }

  get port(): number {
    return this.#port;
  }

  get isUp(): boolean {
    return this.#isUp;
  }

  get connectionCount(): number {
    return this.#connections;
  }

  /** Until it is closed. Rejects with what the vault refused it with. */
  async run(): Promise<void> {
    try {
      const link = await this.#door.link();
      for (let failures = 0; !this.#isClosed; failures += 1) {
        const connection = await link.connection();
        try {
          await this.#listen(connection, () => {
            failures = 0;
          });
        } catch (error) {
          if (this.#isClosed) return;
          if (!isLinkLoss(error) && !mayCome(error)) throw error;
          this.#setUp(false);
          if (link.isCurrent(connection)) await link.pause(failures);
        }
      }
    } finally {
      this.#started.resolve();
    }
  }

  /** Resolves when the vault has heard that it is not to be kept for us, or does not answer. */
  async close(): Promise<void> {
    const frames = this.#frames;
    const isFirst = !this.#isClosed;
    this.#isClosed = true;
    if (frames === undefined) return;
    if (isFirst) {
      const saying = frames.write(frameTypes.listenEnd, new Uint8Array(0));
      saying.then(() => frames.stream.end()).catch(() => undefined);
    }
    await within(this.#heardOut.promise, clientLimits.farewellMs);
  }

  async #listen(connection: LinkConnection, granted: () => void): Promise<void> {
    const frames = new FrameStream(await connection.openStream());
    try {
      const { port } = await answer(request(frames, this.#request(), listenReplySchema));
      granted();
      if (port !== undefined) this.#port = port;
      if (this.#isClosed) {
        await frames.write(frameTypes.listenEnd, new Uint8Array(0));
        await frames.stream.end();
        return;
      }
      this.#frames = frames;
      this.#heardOut = Promise.withResolvers();
      this.#setUp(true);
      this.#started.resolve();
      for (;;) {
        const frame = await frames.read();
        if (frame === null) throw new StreamError("connection-lost", "The listener's stream ended");
        if (frame.type === frameTypes.error) throw decodeError(frame.payload);
        if (frame.type !== frameTypes.incoming) throw new WireError("Not a frame of a listener");
        const { connection: number } = decodeJson(incomingSchema, frame.payload, "Incoming");
        // A vault that announces without end is not answered without end.
        if (this.#connections < 2 * clientLimits.forwardConnectionsMax)
          void this.#serve(connection, number);
      }
    } finally {
      this.#frames = undefined;
      this.#heardOut.resolve();
      if (!this.#isClosed) frames.stream.abort(0);
    }
  }

  #request(): ForwardListenRequest {
    const { id, at, gateway } = this.#options;
    return {
      type: "forward-listen",
      id,
      at:
        at.kind === "unix"
          ? { kind: "unix", path: at.path }
          : {
              kind: "tcp",
              host: at.host === "localhost" ? "127.0.0.1" : at.host,
              port: this.#port,
            },
      ...(gateway ? { gateway } : {}),
    };
  }

  #setUp(isUp: boolean): void {
    if (this.#isUp === isUp) return;
    this.#isUp = isUp;
    this.#options.changed();
  }

  async #serve(connection: LinkConnection, number: number): Promise<void> {
    const isOneTooMany = this.#connections >= clientLimits.forwardConnectionsMax;
    this.#connections += 1;
    try {
      const local = isOneTooMany ? undefined : await this.#connectTarget();
      const frames = new FrameStream(await connection.openStream());
      const accept = {
        type: "forward-accept",
        listener: this.#options.id,
        connection: number,
        ...(local === undefined ? { refuse: true } : {}),
      } as const;
      try {
        await answer(request(frames, accept, v.object({})));
      } catch (error) {
        local?.abort(0);
        throw error;
      }
      if (local === undefined) frames.stream.abort(0);
      else await splice(local, frames.release());
    } catch (error) {
      // Whoever connected there gave up, or the link is lost: nothing that anybody has to know.
      if (!(error instanceof RemoteError || error instanceof WireError || isLinkLoss(error)))
        throw error;
    } finally {
      this.#connections -= 1;
    }
  }

  async #connectTarget(): Promise<ByteStream | undefined> {
    const { target, at, note } = this.#options;
    try {
      return await (target.kind === "unix"
        ? connectUnix(target.path)
        : connectTcp({ host: target.host, port: target.port }));
    } catch (error) {
      if (!(error instanceof SocketError)) throw error;
      const where = `${this.#door.vault} ${at.kind === "unix" ? at.path : this.#port}`;
      const what = error.code === "ECONNREFUSED" || error.code === "ENOENT";
      note(
        what
          ? `${where}: nothing listens on ${target.kind === "unix" ? showPorts(target) : showEnd(target)} here`
          : `${where}: ${showEnd(target)} cannot be reached from here (${error.code})`,
      );
      return undefined;
    }
  }
}

/** What a machine says that is just starting something, or full for the moment. */
function mayCome(error: unknown): boolean {
  return error instanceof RemoteError && ["not-ready", "gone", "busy"].includes(error.code);
}
