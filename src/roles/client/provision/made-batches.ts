import { clientLimits } from "../limits.ts";
import { BetterWhole } from "./rootfs-upload.ts";

/** What is known of the batches for one set of lacking pieces, from one connection to the next. */
export class MadeBatches {
  #lacking: Uint8Array | undefined;
  #lengths: number[] = [];
  #start = 0;
  #idleResumes = 0;
  /** Where the last of them ends, once all were made. */
  end: number | undefined;

  /**
   * To be called for each connection that an upload goes on over. Throws `BetterWhole` where one after the
   * other is lost before a byte arrives: to come to where it stood takes longer than they last.
   */
  resume(start: number, lacking: Uint8Array): void {
    const isSame = this.#lacking !== undefined && Buffer.compare(this.#lacking, lacking) === 0;
    if (!isSame) {
      // Another job: the machine was restarted.
      this.#lengths = [];
      this.end = undefined;
      this.#lacking = lacking;
    }
    // From the first byte on it is another job, too.
    const isIdle = isSame && start > 0 && start === this.#start && start !== this.end;
    this.#idleResumes = isIdle ? this.#idleResumes + 1 : 0;
    this.#start = start;
    if (this.#idleResumes >= clientLimits.deltaIdleResumesMax)
      throw new BetterWhole("the link is lost again and again before more of it arrives");
  }

  /** How long the packed one is, if it was made before. */
  lengthOf(index: number): number | undefined {
    return this.#lengths[index];
  }

  /** Made again they have the same length: the machine has the head of some. */
  add(index: number, length: number): void {
    this.#lengths[index] = length;
  }
}
