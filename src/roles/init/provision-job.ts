import { type ByteStream, StreamError } from "../../protocol/byte-stream.ts";
import { decodeArchiveData } from "../../protocol/archive-frame.ts";
import { ProtocolError, RemoteError } from "../../protocol/errors.ts";
import { type Frame, type FrameStream, frameTypes } from "../../protocol/frame.ts";
import { encodeJson, type Progress, type ProvisionRequest } from "../../protocol/message.ts";
import { late, within } from "../../system/within.ts";
import { ArrivingArchive } from "./arriving-archive.ts";
import { initLimits } from "./limits.ts";
import { ProgressFrames } from "./progress-frames.ts";

/** The work itself. Rejects with `RemoteError`; aborted in time, nothing has changed. */
export type ProvisionWork = (course: ProvisionCourse) => Promise<ProvisionResult>;

export interface ProvisionCourse {
  readonly upload: ArrivingArchive;
  readonly signal: AbortSignal;
  readonly onProgress: (progress: Progress) => void;
  /** Of the recipe an upload begins with; told to the client, again whenever it attaches. */
  readonly onLacking: (pieces: Uint8Array) => void;
  /** From here on it is too late to cancel. */
  readonly onDecided: () => void;
}

/** What `done` says, but for the status, which is the one of the moment it is said. */
export interface ProvisionResult {
  readonly sha256?: string | undefined;
  readonly entries: number;
  readonly written_bytes: number;
  readonly skipped: readonly string[];
}

type Outcome =
  | { readonly kind: "done"; readonly result: ProvisionResult }
  | { readonly kind: "failed"; readonly error: unknown };

/**
 * One provisioning, from its first request to its outcome. It belongs to the machine: a client that
 * loses its link attaches again and goes on, or hears how it ended.
 */
export class ProvisionJob {
  readonly request: ProvisionRequest;
  /** Never rejects. */
  readonly outcome: Promise<Outcome>;
  readonly #upload = new ArrivingArchive();
  readonly #abort = new AbortController();
  #state: "undecided" | "decided" | "over" = "undecided";
  #cancelled: RemoteError | undefined;
  #attached: { readonly stream: ByteStream; readonly progress: ProgressFrames } | undefined;
  #wasAttended = false;
  #latest: Progress;
  #lacking: Uint8Array | undefined;

  constructor(request: ProvisionRequest, work: ProvisionWork) {
    this.request = request;
    const phase = firstPhase[request.source.kind];
    this.#latest = { phase, received_bytes: 0, entries: 0, written_bytes: 0 };
    this.outcome = this.#run(work);
  }

  get isOver(): boolean {
    return this.#state === "over";
  }

  /** Whether somebody waits for it, or it can no longer be stopped. */
  get isAttended(): boolean {
    return this.#attached !== undefined || this.#state === "decided";
  }

  /** Resolves when all it had made is gone again; false where it is too late for that. */
  async cancel(because: RemoteError): Promise<boolean> {
    if (this.#state === "decided") return false;
    if (this.#state === "undecided") {
      this.#cancelled ??= because;
      this.#abort.abort();
    }
    // It may have been decided in the very moment.
    return (await this.outcome).kind === "failed";
  }

  /** Serves a client until the end, or until it leaves. `status` is asked when it is done. */
  async attend(frames: FrameStream, status: () => unknown): Promise<void> {
    // The same client, back from a lost connection; whatever still comes over that one is not taken.
    this.#attached?.stream.abort(0);
    const progress = new ProgressFrames(frames);
    const attached = { stream: frames.stream, progress };
    this.#attached = attached;
    try {
      const reply = { offset: this.#upload.receivedBytes, created: !this.#wasAttended };
      this.#wasAttended = true;
      await frames.write(frameTypes.ok, encodeJson(reply));
      if (!this.isOver) progress.show(this.#latest, this.#lacking);
      const outcome = await Promise.race([this.outcome, this.#receive(frames)]);
      if (outcome === "left") throw new StreamError("connection-lost", "The client has left");
      const told = tell(frames, progress, outcome, status);
      if ((await within(told, initLimits.replyMs)) === late) frames.stream.abort(0);
    } finally {
      if (this.#attached === attached) this.#attached = undefined;
      void progress.stop();
    }
  }

  async #run(work: ProvisionWork): Promise<Outcome> {
    try {
      const result = await work({
        upload: this.#upload,
        signal: this.#abort.signal,
        onProgress: (progress) => this.#show(progress),
        onLacking: (pieces) => {
          this.#lacking = pieces;
          this.#attached?.progress.show(this.#latest, pieces);
        },
        onDecided: () => {
          this.#state = "decided";
        },
      });
      return { kind: "done", result };
    } catch (error) {
      return { kind: "failed", error: this.#cancelled ?? error };
    } finally {
      this.#state = "over";
      // A download that was opened and is not read to its end.
      this.#abort.abort();
    }
  }

  /** A phase that counts no bytes keeps the counts of the one before. */
  #show(progress: Progress): void {
    const received_bytes = Math.max(this.#latest.received_bytes, progress.received_bytes);
    this.#latest = { ...this.#latest, ...progress, received_bytes };
    this.#attached?.progress.show(this.#latest);
  }

  /**
   * What the client sends, until it leaves. A broken stream only interrupts; bytes that do not fit to
   * what is here end the work, because nobody can tell any more what the archive is.
   */
  async #receive(frames: FrameStream): Promise<"left"> {
    try {
      for (;;) {
        await this.#upload.room();
        const frame = await frames.read();
        if (frame === null || this.#attached?.stream !== frames.stream) return "left";
        this.#take(frame);
      }
    } catch (error) {
      if (error instanceof ProtocolError)
        await this.cancel(new RemoteError("bad-request", error.message));
      throw error;
    }
  }

  #take({ type, payload }: Frame): void {
    const { kind } = this.request.source;
    const isUpload = kind === "upload" || kind === "delta";
    if (isUpload && type === frameTypes.dataEnd) {
      this.#upload.end();
    } else if (isUpload && type === frameTypes.data) {
      const { offset, bytes } = decodeArchiveData(payload);
      this.#upload.take(offset, bytes);
    } else {
      throw new ProtocolError("Something else than the archive in a provisioning");
    }
  }
}

const firstPhase = {
  upload: "unpack",
  delta: "compare",
  url: "download",
  previous: "switch",
} as const;

async function tell(
  frames: FrameStream,
  progress: ProgressFrames,
  outcome: Outcome,
  status: () => unknown,
): Promise<void> {
  await progress.stop();
  if (outcome.kind === "failed") throw outcome.error;
  await frames.write(frameTypes.done, encodeJson({ ...outcome.result, status: status() }));
}
