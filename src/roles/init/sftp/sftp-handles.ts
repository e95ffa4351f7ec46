import { closeSync } from "node:fs";
import { sftpLimits } from "./limits.ts";

export type Handle =
  | { readonly kind: "file"; readonly fd: number; readonly appends: boolean }
  | { readonly kind: "folder"; readonly path: Buffer; readonly names: Buffer[] };

/** Open files and folders by the names that clients call them by. */
export class SftpHandles {
  readonly #handles = new Map<number, Handle>();
  #next = 0;

  get isFull(): boolean {
    return this.#handles.size >= sftpLimits.handlesMax;
  }

  add(handle: Handle): Buffer {
    const number = this.#next;
    this.#next += 1;
    this.#handles.set(number, handle);
    const name = Buffer.alloc(4);
    name.writeUInt32BE(number);
    return name;
  }

  /** Throws `RangeError` for one that is not open. */
  find(name: Buffer): Handle {
    const handle = name.length === 4 ? this.#handles.get(name.readUInt32BE()) : undefined;
    if (handle === undefined) throw new RangeError("No such handle");
    return handle;
  }

  file(name: Buffer): Extract<Handle, { kind: "file" }> {
    const handle = this.find(name);
    if (handle.kind !== "file") throw new RangeError("That handle is a folder");
    return handle;
  }

  close(name: Buffer): void {
    const handle = this.find(name);
    this.#handles.delete(name.readUInt32BE());
    if (handle.kind === "file") closeSync(handle.fd);
  }
}
