import { Failure } from "../../../cli/failure.ts";
import { encodeArchiveData } from "../../../protocol/archive-frame.ts";
import { StreamError } from "../../../protocol/byte-stream.ts";
import { RemoteError, WireError } from "../../../protocol/errors.ts";
import { FrameStream, frameTypes } from "../../../protocol/frame.ts";
import {
  cancelReplySchema,
  decodeError,
  decodeJson,
  type Progress,
  progressSchema,
  type Provisioned,
  provisionedSchema,
  provisionReplySchema,
  type ProvisionRequest,
  request,
} from "../../../protocol/message.ts";
import { answer } from "../link/answer.ts";
import { clientLimits } from "../limits.ts";
import type { AttestedLink, LinkConnection } from "../link/attested-link.ts";
import { overLink } from "../link/over-link.ts";
import type { RootfsUpload } from "./rootfs-upload.ts";

export interface ProvisionPlan {
  /** With an id of its own: by it the machine knows us again. */
  readonly request: ProvisionRequest;
  /** Where something is uploaded. */
  readonly upload?: RootfsUpload | undefined;
}

export interface ProvisionEvents {
  /** Attached again after a lost link; an upload goes on at `offset`. */
  resumed(offset: number): void;
  /** The machine was restarted meanwhile: all begins anew. */
  restarted(): void;
  sent(bytes: number): void;
  progress(progress: Progress): void;
}

/** One provisioning over as many connections as it takes. The machine says where an upload stands, so no byte goes twice. */
export class ProvisionRun {
  readonly #link: AttestedLink;
  readonly #plan: ProvisionPlan;
  readonly #events: ProvisionEvents;
  #attached = false;
  #isLeaving = false;
  /** The request that is on its way, until it is answered. */
  #asking: Promise<unknown> = Promise.resolve();
  #restarts = 0;

  constructor(link: AttestedLink, plan: ProvisionPlan, events: ProvisionEvents) {
    this.#link = link;
    this.#plan = plan;
    this.#events = events;
  }

  /** Resolves when the machine runs it. */
  async run(): Promise<Provisioned> {
    return overLink(this.#link, (connection) => this.#attach(connection));
  }

  /** Whether the machine is as it was before; false where it was too late. */
  async cancel(): Promise<boolean> {
    this.#isLeaving = true;
    // One that arrives after the cancel would begin what nobody wants any more.
    await this.#asking.catch(() => undefined);
    return overLink(this.#link, (connection) => this.#askToCancel(connection));
  }

  async #askToCancel(connection: LinkConnection): Promise<boolean> {
    const frames = new FrameStream(await connection.openStream());
    const { id } = this.#plan.request;
    try {
      return (await request(frames, { type: "provision-cancel", id }, cancelReplySchema)).cancelled;
    } catch (error) {
      if (error instanceof RemoteError && error.code === "not-found") return true;
      throw error;
    } finally {
      frames.stream.abort(0);
    }
  }

  async #attach(connection: LinkConnection): Promise<Provisioned> {
    const frames = new FrameStream(await connection.openStream());
    const end = new AbortController();
    const turn = { over: end.signal, lacking: Promise.withResolvers<Uint8Array>() };
    try {
      if (this.#isLeaving) throw new Failure("FV-PROV-008", "the work was cancelled here");
      const asking = answer(request(frames, this.#plan.request, provisionReplySchema));
      this.#asking = asking;
      const { offset, created } = await asking;
      this.#begin(offset, created);
      const reading = this.#read(frames, turn);
      return await Promise.race([reading, this.#upload(frames, offset, turn).then(() => reading)]);
    } catch (error) {
      frames.stream.abort(0);
      throw error;
    } finally {
      end.abort();
    }
  }

  /** A machine that was restarted knows nothing of us and starts anew; one that does so all the time is ill. */
  #begin(offset: number, created: boolean): void {
    const isRestart = this.#attached && created;
    if (isRestart) this.#restarts += 1;
    if (this.#restarts > clientLimits.provisionRestartsMax)
      throw new Failure("FV-VM-003", "the machine was restarted in the middle again and again", {
        because: `it began anew ${this.#restarts} times`,
        fix: "look at the machine's log:  fly logs",
      });
    if (isRestart) this.#events.restarted();
    else if (this.#attached) this.#events.resumed(offset);
    this.#attached = true;
    this.#events.sent(offset);
  }

  /** A stream that breaks is no error here: the machine may refuse while we still send, and its answer is what counts. */
  async #upload(frames: FrameStream, start: number, turn: Turn): Promise<void> {
    const { upload } = this.#plan;
    if (upload === undefined) return;
    let offset = start;
    try {
      for await (const bytes of upload.bytes(start, turn.lacking.promise, turn.over)) {
        if (turn.over.aborted) return;
        await frames.writeEncoded(encodeArchiveData({ offset, bytes }));
        offset += bytes.length;
        if (!turn.over.aborted) this.#events.sent(offset);
      }
      if (!turn.over.aborted) await frames.write(frameTypes.dataEnd, new Uint8Array(0));
    } catch (error) {
      if (!(error instanceof StreamError)) throw error;
    }
  }

  async #read(frames: FrameStream, turn: Turn): Promise<Provisioned> {
    for (;;) {
      const frame = await frames.read();
      if (frame === null) throw new StreamError("connection-lost", "The stream ended too early");
      switch (frame.type) {
        case frameTypes.progress:
          this.#events.progress(decodeJson(progressSchema, frame.payload, "Progress"));
          break;
        case frameTypes.lacking:
          turn.lacking.resolve(frame.payload);
          break;
        case frameTypes.done:
          return decodeJson(provisionedSchema, frame.payload, "Result");
        case frameTypes.error:
          throw decodeError(frame.payload);
        default:
          throw new WireError(`Frame 0x${frame.type.toString(16)} where progress was due`);
      }
    }
  }
}

/** One attachment, and what the machine says in it that it lacks. */
interface Turn {
  readonly over: AbortSignal;
  readonly lacking: PromiseWithResolvers<Uint8Array>;
}
