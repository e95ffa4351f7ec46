/** What is known of the way to the machine besides its packets: a proxy that goes, or that it was cut. */
export type PathNotice = "draining" | "cut";

/** From whoever carries the datagrams to the link; what came before it listened is not lost. */
export class PathNotices {
  #listener: ((notice: PathNotice) => void) | undefined;
  #missed: PathNotice | undefined;

  tell(notice: PathNotice): void {
    if (this.#listener === undefined) this.#missed = notice;
    else this.#listener(notice);
  }

  listen(listener: (notice: PathNotice) => void): void {
    this.#listener = listener;
    if (this.#missed !== undefined) listener(this.#missed);
    this.#missed = undefined;
  }
}

/** This computer is in another network now: the vault is dialled anew, because UDP may work there. */
export class NetworkChanged extends Error {
  override readonly name = "NetworkChanged";
}
