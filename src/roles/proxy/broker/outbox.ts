import type { DescriptorWriter } from "../../../system/process-pipe.ts";
import { brokerLimits } from "./broker-limits.ts";

/**
 * What another process is still to be told. Of each matter only the newest word is kept, so a process
 * that reads slowly costs no more memory than there are matters.
 */
export class Outbox {
  readonly #messages = new Map<string, Uint8Array>();
  readonly #writer: DescriptorWriter;
  #writing = false;

  /** Takes `writer` over. */
  constructor(writer: DescriptorWriter) {
    this.#writer = writer;
  }

  get length(): number {
    return this.#messages.size;
  }

  put(matter: string, message: Uint8Array): void {
    this.#messages.delete(matter);
    this.#messages.set(matter, message);
    void this.#write();
  }

  close(): void {
    this.#messages.clear();
    this.#writer.close();
  }

  async #write(): Promise<void> {
    if (this.#writing) return;
    this.#writing = true;
    // What is put in the same turn goes out together.
    await Promise.resolve();
    while (this.#messages.size > 0) {
      const sent = await this.#writer.write(this.#take()).catch(() => false);
      // It has ended: whoever started it sees that by itself.
      if (!sent) this.#messages.clear();
    }
    this.#writing = false;
  }

  #take(): Uint8Array {
    const taken: Uint8Array[] = [];
    let length = 0;
    for (const [matter, message] of this.#messages) {
      if (length > 0 && length + message.byteLength > brokerLimits.outboxWriteBytes) break;
      taken.push(message);
      length += message.byteLength;
      this.#messages.delete(matter);
    }
    return new Uint8Array(Buffer.concat(taken));
  }
}
