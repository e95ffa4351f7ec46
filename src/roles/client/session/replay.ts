/**
 * What a terminal was sent before we came, made fit for ours. Questions to a terminal were answered
 * long ago: a second answer would be typed into whatever runs now. Bells, notices and the clipboard
 * were for that moment. And the window may have another size: a program that paints itself anew takes
 * it that a terminal has no margins any more, as after any change of size.
 */
export class Replay {
  #leftBytes: number;
  #tail = "";

  /** `lengthBytes` of output were there when we attached. */
  constructor(lengthBytes: number) {
    this.#leftBytes = lengthBytes;
  }

  /** So much will never come. */
  skip(lostBytes: number): void {
    this.#leftBytes = Math.max(0, this.#leftBytes - lostBytes);
  }

  get isOver(): boolean {
    return this.#leftBytes === 0;
  }

  /** Output in order; what lies behind the replay is not touched. */
  push(bytes: Uint8Array): Uint8Array {
    const old = bytes.subarray(0, this.#leftBytes);
    const fresh = bytes.subarray(old.length);
    this.#leftBytes -= old.length;
    const shown = this.#filter(old);
    return this.isOver ? Buffer.concat([shown, this.#takeTail(), noMargins, fresh]) : shown;
  }

  #filter(bytes: Uint8Array): Uint8Array {
    if (this.#tail === "" && !bytes.some((byte) => byte === 0x1b || byte === 0x05 || byte === 0x07))
      return bytes;
    // Latin-1 keeps every byte one character; sequences are ASCII.
    const text = this.#tail + Buffer.from(bytes).toString("latin1");
    let consumed = 0;
    let kept = "";
    for (const match of text.matchAll(token)) {
      kept += text.slice(consumed, match.index);
      if (!momentary.test(match[0])) kept += match[0];
      consumed = match.index + match[0].length;
    }
    const open = text.indexOf("\u001b", consumed);
    const isHeld = open !== -1 && text.length - open <= tailBytesMax;
    this.#tail = isHeld ? text.slice(open) : "";
    return Buffer.from(kept + text.slice(consumed, isHeld ? open : undefined), "latin1");
  }

  #takeTail(): Uint8Array {
    const tail = Buffer.from(this.#tail, "latin1");
    this.#tail = "";
    return tail;
  }
}

/** With the cursor where it was: setting margins moves it. */
const noMargins = Buffer.from("\u001b7\u001b[r\u001b8");
/** A sequence that has not ended after so many bytes is shown as it is. */
const tailBytesMax = 4096;

/** One control sequence: a string (OSC, DCS, APC …), CSI, a short one, or a control character alone. */
const token =
  // oxlint-disable-next-line no-control-regex -- terminals are spoken to in control characters
  /\u001b\][^\u0007\u001b]*(?:\u0007|\u001b\\)|\u001b[PX^_][^\u001b]*\u001b\\|\u001b\[[0-?]*[ -/]*[@-~]|\u001b[^[\]PX^_]|[\u0005\u0007]/g;

/**
 * Reports of status and attributes, of modes, keyboard, version and window; colours and capabilities
 * that are asked for; the clipboard and notices; a graphic that is asked for; ENQ and the bell.
 */
const momentary =
  // oxlint-disable-next-line no-control-regex -- as above
  /^(?:\u001b\[[?>=]?[\d;]*[cn]|\u001b\[>[\d;]*q|\u001b\[\??[\d;]*\$p|\u001b\[\?u|\u001b\[(?:1[1-9]|2[01])[\d;]*t|\u001bZ|\u001b\](?:52|9|99|777);[^]*|\u001b\][\d;]*\?[^]*|\u001bP[+$]q[^]*|\u001b_G[^]*a=q[^]*|[\u0005\u0007])$/;
