import type { FileEntry } from "../../protocol/file-message.ts";
import { copyLimits } from "./copy-limits.ts";

/** Names at the destination that sources of this copy have got: another one must not take the place of the first. */
export class TakenTops {
  readonly #names = new Map<string, FileEntry["kind"]>();

  /** Folders of one name become one; `isOnly` where the destination is a single new name. */
  take(name: Uint8Array, kind: FileEntry["kind"], isOnly: boolean): "free" | "taken" {
    const key = Buffer.from(name).toString("latin1");
    const before = this.#names.get(key);
    if (before !== undefined)
      return before === "folder" && kind === "folder" && !isOnly ? "free" : "taken";
    // Beyond that the last one wins, as it does with scp.
    if (this.#names.size < copyLimits.topsRememberedMax) this.#names.set(key, kind);
    return "free";
  }
}
