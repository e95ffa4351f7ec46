import { RemoteError } from "../../protocol/errors.ts";
import type { FrameStream } from "../../protocol/frame.ts";
import type { ProvisionRequest, Status } from "../../protocol/message.ts";
import { initLimits } from "./limits.ts";
import { stopping } from "./live-rootfs.ts";
import { ProvisionJob } from "./provision-job.ts";
import { provisionWork, type ProvisionWorkOptions } from "./provision-work.ts";

export interface ProvisioningOptions extends ProvisionWorkOptions {
  readonly status: () => Status;
}

/**
 * The provisionings that clients ask for: one at a time, each known by the name its client gave it.
 * Whatever fails on the way, the old root filesystem runs afterwards.
 */
export class Provisioning {
  readonly #options: ProvisioningOptions;
  /** By id, oldest first: the one under way, and those whose outcome is remembered. */
  readonly #jobs = new Map<string, ProvisionJob>();
  #current: ProvisionJob | undefined;
  #closed = false;

  constructor(options: ProvisioningOptions) {
    this.#options = options;
  }

  /** One that its client has left does not count: whoever comes next takes its place. */
  get state(): Status["vm_state"] {
    if (this.#current?.isAttended === true) return "provisioning";
    return this.#options.live.present ? "ready" : "cold";
  }

  async serve(frames: FrameStream, request: ProvisionRequest): Promise<void> {
    for (;;) {
      const job = this.#jobFor(request);
      // Attended from this moment on: nobody takes the place of one that has just begun.
      if (job instanceof ProvisionJob) return job.attend(frames, this.#options.status);
      await this.#displace(job.inTheWay);
    }
  }

  /** Resolves when the machine is as it was before; false where it was too late. */
  async cancel(id: string): Promise<boolean> {
    const job = this.#jobs.get(id);
    if (job === undefined) throw new RemoteError("not-found", "No provisioning of that id");
    return job.cancel(new RemoteError("cancelled", "The client cancelled it"));
  }

  /** Ends what is under way, unless the trees are changing places already, and takes no more. */
  close(): void {
    this.#closed = true;
    void this.#current?.cancel(stopping());
  }

  #jobFor(request: ProvisionRequest): ProvisionJob | { readonly inTheWay: ProvisionJob } {
    const known = this.#jobs.get(request.id);
    if (known !== undefined) return sameWish(known, request);
    if (this.#closed) throw stopping();
    if (this.#current !== undefined) return { inTheWay: this.#current };
    return this.#begin(request);
  }

  async #displace(job: ProvisionJob): Promise<void> {
    const displaced = new RemoteError("cancelled", "Another provisioning took its place");
    if (!job.isAttended && (await job.cancel(displaced))) return;
    const fix = "Wait until it is done, or a minute where its client was killed without a word";
    throw new RemoteError("busy", "Another provisioning is under way", fix);
  }

  #begin(request: ProvisionRequest): ProvisionJob {
    const job = new ProvisionJob(request, provisionWork(request, this.#options));
    this.#jobs.set(request.id, job);
    this.#current = job;
    void this.#forgetAfter(job);
    return job;
  }

  async #forgetAfter(job: ProvisionJob): Promise<void> {
    await job.outcome;
    this.#current = undefined;
    const [oldest] = this.#jobs.keys();
    if (this.#jobs.size > initLimits.outcomesMax && oldest !== undefined) this.#jobs.delete(oldest);
  }
}

/** Two that share an id by mistake would otherwise mix their archives. */
function sameWish(job: ProvisionJob, { source, sha256 }: ProvisionRequest): ProvisionJob {
  const { request } = job;
  if (Bun.deepEquals(request.source, source) && request.sha256 === sha256) return job;
  throw new RemoteError("already-exists", "A provisioning of that id has another source");
}
