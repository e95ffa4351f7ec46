import { WireError } from "../../../protocol/errors.ts";
import { sftpLimits } from "./limits.ts";

/** Bytes in any slices -> packets without their length. Holds no more than one packet and one slice. */
export class SftpPackets {
  #bytes = Buffer.alloc(0);

  /** The slice is copied. */
  feed(slice: Uint8Array): void {
    this.#bytes = Buffer.concat([this.#bytes, slice]);
  }

  /** Good until the next `feed`. Throws `WireError` for a length that cannot be. */
  next(): Uint8Array | undefined {
    if (this.#bytes.length < 4) return undefined;
    const length = this.#bytes.readUInt32BE();
    if (length === 0 || length > sftpLimits.packetBytesMax)
      throw new WireError(`An SFTP packet of ${length} bytes`);
    if (this.#bytes.length < 4 + length) return undefined;
    const packet = this.#bytes.subarray(4, 4 + length);
    this.#bytes = this.#bytes.subarray(4 + length);
    return packet;
  }
}
