import type { ByteStream } from "../../protocol/byte-stream.ts";
import { StreamError } from "../../protocol/byte-stream.ts";
import { RemoteError } from "../../protocol/errors.ts";
import type { ChildReaper } from "../../system/reaper.ts";
import { late, within } from "../../system/within.ts";
import { type GuestProcess, type GuestProgram, startGuestProcess } from "./guest-process.ts";
import { initLimits } from "./limits.ts";
import type { WorkloadProcess } from "./workload-process.ts";

/** Processes of ours among the guest's files, each for one stream, none longer than its stream or the workload. */
export class GuestProcesses {
  readonly #workload: () => WorkloadProcess;
  readonly #reaper: ChildReaper;
  readonly #running = new Set<GuestProcess>();

  /** `workload` throws `RemoteError` while none runs. */
  constructor(workload: () => WorkloadProcess, reaper: ChildReaper) {
    this.#workload = workload;
    this.#reaper = reaper;
  }

  /** Rejects with `RemoteError` if it cannot be started or ends without a word; then nothing was written. */
  async serve(stream: ByteStream, program: GuestProgram): Promise<void> {
    const child = this.start(program);
    const upstream = pumpIn(stream, child).finally(() => child.stdin.close());
    let spoken = 0;
    try {
      spoken = await pumpOut(child, stream);
    } finally {
      child.stdout.close();
      child.stdin.close();
      if ((await within(child.ended, initLimits.guestProcessEndMs)) === late) child.kill();
      await child.ended;
    }
    if (spoken === 0) throw new RemoteError("internal", "The process for files ended at its start");
    await stream.end();
    // What the client still says is for nobody.
    if ((await within(upstream, initLimits.partingMs)) === late) stream.abort(0);
    await upstream;
  }

  /** For who has the other ends of its pipes in hand, instead of a stream. Throws `RemoteError`. */
  start(program: GuestProgram): GuestProcess {
    if (this.#running.size >= initLimits.guestProcessesMax)
      throw new RemoteError("limit", `${initLimits.guestProcessesMax} copies run here already`);
    const workload = this.#workload();
    const child = startGuestProcess(workload, program, this.#reaper);
    this.#running.add(child);
    void child.ended.then(() => this.#running.delete(child));
    // It would hold on to the root filesystem of a workload that is gone.
    void workload.ended.then(() => child.kill());
    return child;
  }

  killAll(): void {
    for (const child of this.#running) child.kill();
  }
}

/** Until the client ends its half or is gone, or the process reads no more: then what comes is let go. */
async function pumpIn(stream: ByteStream, child: GuestProcess): Promise<void> {
  try {
    for (;;) {
      const bytes = await stream.read();
      if (bytes === null) return;
      await child.stdin.write(bytes);
    }
  } catch (error) {
    if (!(error instanceof StreamError)) throw error;
  }
}

/** How many bytes there were. */
async function pumpOut(child: GuestProcess, stream: ByteStream): Promise<number> {
  let count = 0;
  for (;;) {
    const bytes = await child.stdout.read();
    if (bytes === null) return count;
    count += bytes.length;
    await stream.write(bytes);
  }
}
