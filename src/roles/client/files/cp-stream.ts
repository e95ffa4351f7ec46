import { StreamError } from "../../../protocol/byte-stream.ts";
import { WireError } from "../../../protocol/errors.ts";
import { decodeFileMessage } from "../../../protocol/file-frame.ts";
import { type FileJob, filesReplySchema } from "../../../protocol/file-job.ts";
import { type Frame, FrameStream, frameTypes } from "../../../protocol/frame.ts";
import { decodeError, encodeJson, request } from "../../../protocol/message.ts";
import type { CopyPeer } from "../../../system/copy/copy-peer.ts";
import { MessageBatch } from "../../../system/copy/message-batch.ts";
import { answer } from "../link/answer.ts";
import type { LinkConnection } from "../link/attested-link.ts";

export interface CopyRequest {
  readonly user: string | undefined;
  readonly job: FileJob;
}

/** One copy over one connection: `peer` is our side of it. Closes the peer whatever happens. */
export async function copyOver(
  connection: LinkConnection,
  { user, job }: CopyRequest,
  peer: CopyPeer,
): Promise<void> {
  const frames = new FrameStream(await connection.openStream(), { lends: true });
  try {
    const asked = { type: "files", ...(user === undefined ? {} : { user }) } as const;
    await new CopyTalk(frames, peer).run(async () => {
      await answer(request(frames, asked, filesReplySchema));
      await frames.write(frameTypes.fileJob, encodeJson(job));
    });
    await frames.stream.end();
  } catch (error) {
    frames.stream.abort(0);
    throw error;
  } finally {
    peer.close();
  }
}

/** Reading never waits for writing: the machine's side may do nothing else but write for a while. */
class CopyTalk {
  readonly #frames: FrameStream;
  readonly #peer: CopyPeer;
  #wake: (() => void) | undefined;
  #news = false;
  #failed = false;

  constructor(frames: FrameStream, peer: CopyPeer) {
    this.#frames = frames;
    this.#peer = peer;
  }

  /** While the machine starts its process for us, `open`, what is to be copied is looked through already. */
  async run(open: () => Promise<void>): Promise<void> {
    const opened = open();
    const fail = (error: unknown): never => {
      this.#failed = true;
      this.#notify();
      throw error;
    };
    const reading = opened.then(() => this.#read()).catch(fail);
    // What the other side said of it is the better reason.
    const writing = this.#write(opened).catch(async (error: unknown) => {
      if (error instanceof StreamError) await reading;
      return fail(error);
    });
    await Promise.all([reading, writing]);
  }

  async #read(): Promise<void> {
    let sinceMs = performance.now();
    while (!this.#peer.over) {
      const frame = this.#frames.arrived() ?? (await this.#frames.read());
      if (frame === null && this.#peer.over) return;
      if (frame === null) throw new StreamError("connection-lost", "The copy broke off");
      this.#receive(frame);
      this.#notify();
      if (this.#peer.drained !== undefined) await this.#peer.drained();
      // Disk work for a whole burst of frames must not keep the link from its packets.
      if (performance.now() - sinceMs < turnMs) continue;
      await breath();
      sinceMs = performance.now();
    }
  }

  #receive(frame: Frame): void {
    if (frame.type === frameTypes.error) throw decodeError(frame.payload);
    if (this.#failed) throw new WireError("The copy has failed");
    this.#peer.receive(decodeFileMessage(frame));
  }

  async #write(opened: Promise<void>): Promise<void> {
    let sinceMs = performance.now();
    const batch = new MessageBatch();
    const flush = async (): Promise<void> => {
      await opened;
      if (!batch.isEmpty) await this.#frames.writeEncoded(batch.take());
    };
    while (!this.#failed) {
      const message = this.#peer.next();
      if (message === undefined) {
        await flush();
        if (this.#peer.over) return;
        await this.#someNews();
        continue;
      }
      if (message !== "working") batch.add(message);
      if (batch.isFull) await flush();
      if (performance.now() - sinceMs < turnMs) continue;
      await breath();
      sinceMs = performance.now();
    }
  }

  #notify(): void {
    this.#news = true;
    this.#wake?.();
  }

  async #someNews(): Promise<void> {
    if (!this.#news) await new Promise<void>((resolve) => (this.#wake = resolve));
    this.#wake = undefined;
    this.#news = false;
  }
}

/** A turn of the event loop. */
async function breath(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

const turnMs = 4;
