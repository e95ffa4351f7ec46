import { RemoteError } from "../../../src/protocol/errors.ts";
import type { UnwishedEnd } from "../../../src/roles/init/workload.ts";

/** A workload that is told what becomes of it. */
export class StagedWorkload {
  runtime: "not-started" | "system-init" | "fallback-init" = "not-started";
  next: "system-init" | "fallback-init" = "system-init";
  closed = false;
  startFails = false;
  stopFails = false;
  readonly steps: string[] = [];
  #listener: (ended: UnwishedEnd) => void = () => undefined;

  onEnded(listener: (ended: UnwishedEnd) => void): void {
    this.#listener = listener;
  }
  async start(): Promise<void> {
    this.steps.push("start");
    if (this.startFails) throw new RemoteError("workload-failed", "No");
    this.runtime = this.next;
  }
  async stop(): Promise<void> {
    this.steps.push("stop");
    if (!this.stopFails) this.runtime = "not-started";
  }
  async keepRunning(): Promise<void> {
    this.steps.push("keepRunning");
    this.runtime = this.next;
  }
  dies(how = "its init ended after 2.0 s: exit code 1", reboot = false): void {
    this.#listener({ how, reboot });
  }
}
