import { RemoteError } from "../../protocol/errors.ts";
import { type FrameStream, frameTypes } from "../../protocol/frame.ts";
import {
  encodeJson,
  type Progress,
  type ProvisionRequest,
  type Status,
} from "../../protocol/message.ts";
import type { Log } from "../../system/log.ts";
import { download } from "./provision/download.ts";
import { restorePrevious, type StagedRootfs, stageRootfs } from "./provision/provision.ts";
import { Wake } from "./wake.ts";
import type { Workload } from "./workload.ts";

export interface ProvisioningOptions {
  readonly dataDir: string;
  readonly workload: Workload;
  readonly status: () => Status;
  readonly log: Log;
}

/**
 * Replaces the root filesystem for a client: the new one is made ready while the old one runs, then
 * they change places. Whatever fails on the way, the old one runs afterwards.
 */
export class Provisioning {
  readonly #options: ProvisioningOptions;
  #active = false;
  #closed = false;
  #cancel = new AbortController();
  #hasRootfs: boolean;
  #digest: string | undefined;

  constructor(
    options: ProvisioningOptions,
    found: { readonly rootfs: boolean; readonly sha256?: string },
  ) {
    this.#options = options;
    this.#hasRootfs = found.rootfs;
    this.#digest = found.sha256;
  }

  get state(): Status["vm_state"] {
    if (this.#active) return "provisioning";
    return this.#hasRootfs ? "ready" : "cold";
  }

  /** Digest of the archive the running root filesystem came from. */
  get digest(): string | undefined {
    return this.#digest;
  }

  async serve(frames: FrameStream, request: ProvisionRequest): Promise<void> {
    if (this.#active)
      throw new RemoteError("busy", "Another provisioning is under way", "Wait until it is done");
    if (this.#closed) throw stopping();
    this.#active = true;
    this.#cancel = new AbortController();
    const progress = new ProgressFrames(frames);
    try {
      await frames.write(frameTypes.ok, encodeJson({}));
      const staged = await this.#stage(frames, request, progress);
      await this.#switch(staged, progress);
      this.#digest = staged.sha256;
      this.#hasRootfs = true;
      await progress.stop();
      this.#active = false;
      const { sha256, entries, writtenBytes, skipped } = staged;
      const body = { sha256, entries, written_bytes: writtenBytes, skipped: fitting(skipped) };
      await frames.write(frameTypes.done, encodeJson({ ...body, status: this.#options.status() }));
    } finally {
      this.#active = false;
      await progress.stop();
    }
  }

  /** Ends what is under way, unless the trees are changing places already, and takes no more. */
  close(): void {
    this.#closed = true;
    this.#cancel.abort();
  }

  async #stage(
    frames: FrameStream,
    request: ProvisionRequest,
    progress: ProgressFrames,
  ): Promise<StagedRootfs> {
    const { source, sha256 } = request;
    const cancel = this.#cancel;
    const { signal } = cancel;
    const archive =
      source.kind === "upload"
        ? uploaded(frames)
        : download(source.url, { digestGiven: sha256 !== undefined, signal });
    if (source.kind === "url") cancelWhenGone(frames, cancel);
    return stageRootfs({
      dataDir: this.#options.dataDir,
      archive,
      sha256,
      sizeBytes: source.kind === "upload" ? source.size_bytes : undefined,
      onProgress: (step) => progress.show(step),
      signal,
      log: this.#options.log,
      env: process.env,
    });
  }

  async #switch(staged: StagedRootfs, progress: ProgressFrames): Promise<void> {
    const { workload, dataDir, log } = this.#options;
    const counts = {
      received_bytes: 0,
      entries: staged.entries,
      written_bytes: staged.writtenBytes,
    };
    progress.show({ ...progress.latest, ...counts, phase: "switch" });
    await workload.stop();
    if (workload.closed) {
      await staged.discard();
      throw stopping();
    }
    try {
      await staged.activate();
    } catch (error) {
      await workload.keepRunning();
      throw error;
    }
    progress.show({ ...progress.latest, ...counts, phase: "boot" });
    try {
      await workload.start();
    } catch (error) {
      // Then it was not tried: the next boot does.
      if (workload.closed) throw stopping();
      log("error", "new-rootfs-does-not-boot", { message: String(error) });
      await this.#goBack(dataDir);
      throw error;
    }
  }

  async #goBack(dataDir: string): Promise<void> {
    const { workload, log } = this.#options;
    try {
      await restorePrevious(dataDir, log);
      log("warn", "previous-rootfs-restored");
    } catch (error) {
      log("error", "no-previous-rootfs", { message: String(error) });
    }
    await workload.keepRunning();
  }
}

function stopping(): RemoteError {
  return new RemoteError("cancelled", "The machine is being stopped");
}

/** The archive as `data` frames bring it. */
async function* uploaded(frames: FrameStream): AsyncGenerator<Uint8Array> {
  for (;;) {
    const frame = await frames.read();
    if (frame === null) throw new RemoteError("cancelled", "The upload was broken off");
    if (frame.type === frameTypes.dataEnd) return;
    if (frame.type !== frameTypes.data)
      throw new RemoteError("bad-request", "Something else than the archive in an upload");
    if (frame.payload.length > 0) yield frame.payload;
  }
}

/** A client that waits for a download has nothing to say; its end means that it left. */
function cancelWhenGone(frames: FrameStream, cancel: AbortController): void {
  const watch = async (): Promise<void> => {
    try {
      while ((await frames.read()) !== null);
    } catch {
      // A broken stream is an end as well.
    }
    cancel.abort();
  };
  void watch();
}

/** Sends the newest state of things, as fast as the client takes them and no faster than it can read. */
class ProgressFrames {
  readonly #frames: FrameStream;
  readonly #wake = new Wake();
  readonly #sending: Promise<void>;
  #latest: Progress = { phase: "unpack", received_bytes: 0, entries: 0, written_bytes: 0 };
  #fresh = false;
  #stopped = false;

  constructor(frames: FrameStream) {
    this.#frames = frames;
    this.#sending = this.#send().catch(() => undefined);
  }

  get latest(): Progress {
    return this.#latest;
  }

  show(progress: Progress): void {
    const before = this.#latest.received_bytes;
    this.#latest = { ...progress, received_bytes: Math.max(before, progress.received_bytes) };
    this.#fresh = true;
    this.#wake.notify();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#wake.notify();
    await this.#sending;
  }

  async #send(): Promise<void> {
    for (;;) {
      await this.#wake.wait();
      if (this.#fresh) {
        this.#fresh = false;
        await this.#frames.write(frameTypes.progress, encodeJson(this.#latest));
      }
      if (this.#stopped) return;
      await Bun.sleep(progressEveryMs);
    }
  }
}

/** As many as the frame's limit allows. */
function fitting(skipped: readonly string[]): string[] {
  const shown: string[] = [];
  let length = 0;
  for (const name of skipped) {
    length += name.length * 2 + 3;
    if (length > skippedCharactersMax) return [...shown, `… ${skipped.length - shown.length} more`];
    shown.push(name);
  }
  return shown;
}

const progressEveryMs = 100;
const skippedCharactersMax = 2000;
