import type { FrameStream } from "../../protocol/frame.ts";
import { RemoteError } from "../../protocol/errors.ts";
import { makeNonBlocking } from "../../system/process.ts";
import { hasHungUp } from "../../system/process-pipe.ts";
import type { ChildReaper } from "../../system/reaper.ts";
import { lendSocket, type LentSocket } from "../../system/tcp-stream.ts";
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

  /**
   * Until such a process has ended, which has the stream meanwhile. Rejects with `RemoteError` if it cannot be started
   * or ends without a word; then nothing was written.
   */
  async serve(frames: FrameStream, program: GuestProgram): Promise<void> {
    const socket = lendSocket(frames.stream);
    try {
      const child = this.#start(program, socket, frames.takeEarly());
      const { hasSpoken } = await endOf(child, socket);
      if (!hasSpoken) throw new RemoteError("internal", "The process for files ended at its start");
    } finally {
      if (socket.isOpen()) makeNonBlocking(socket.descriptor);
      socket.takeBack();
    }
  }

  killAll(): void {
    for (const child of this.#running) child.kill();
  }

  #start(program: GuestProgram, socket: LentSocket, early: Uint8Array): GuestProcess {
    if (this.#running.size >= initLimits.guestProcessesMax)
      throw new RemoteError("limit", `${initLimits.guestProcessesMax} copies run here already`);
    const workload = this.#workload();
    const { descriptor } = socket;
    const stream = { descriptor, early: Buffer.concat([early, socket.early]) };
    const child = startGuestProcess(workload, program, stream, this.#reaper);
    this.#running.add(child);
    void child.ended.then(() => this.#running.delete(child));
    // It would hold on to the root filesystem of a workload that is gone.
    void workload.ended.then(() => child.kill());
    return child;
  }
}

/** A process sees for itself that its client has left, unless a file system holds it up. */
async function endOf(
  child: GuestProcess,
  socket: LentSocket,
): Promise<{ readonly hasSpoken: boolean }> {
  let wasLeft = false;
  const looking = setInterval(() => {
    const isLeft = !socket.isOpen() || hasHungUp(socket.descriptor);
    if (isLeft && wasLeft) child.kill();
    wasLeft = isLeft;
  }, initLimits.guestProcessEndMs);
  try {
    return await child.ended;
  } finally {
    clearInterval(looking);
  }
}
