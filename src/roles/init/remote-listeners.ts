import type { ByteStream } from "../../protocol/byte-stream.ts";
import { StreamError } from "../../protocol/byte-stream.ts";
import { RemoteError, WireError } from "../../protocol/errors.ts";
import { type FrameStream, frameTypes } from "../../protocol/frame.ts";
import type {
  ForwardAcceptRequest,
  ForwardListenRequest,
  Incoming,
} from "../../protocol/forward-message.ts";
import { encodeJson } from "../../protocol/message.ts";
import { initLimits } from "./limits.ts";
import { RemoteListener } from "./remote-listener.ts";
import { Wake } from "./wake.ts";

/**
 * Listeners of clients, by the id that the client chose. They are the keeper's, which no crash of a
 * link ends: a client that comes back finds its port as it left it.
 */
export class RemoteListeners {
  readonly #rootFolder: () => number;
  readonly #keptMs: number;
  readonly #kept = new Map<string, Kept>();
  #waitingConnections = 0;

  /** `rootFolder` of the workload; throws `RemoteError` where none runs. */
  constructor(rootFolder: () => number, keptMs: number = initLimits.listenerKeptMs) {
    this.#rootFolder = rootFolder;
    this.#keptMs = keptMs;
  }

  /** Serves the stream of a `forward-listen`, reply included, until its client leaves it. */
  async serve(frames: FrameStream, request: ForwardListenRequest): Promise<void> {
    const { kept, created } = this.#find(request);
    const visit = new Visit();
    kept.visit?.end("taken-over");
    kept.visit = visit;
    clearTimeout(kept.timer);
    const { port } = kept.listener;
    void visit.follow(frames);
    try {
      const reply = { created, ...(port === 0 ? {} : { port }) };
      await frames.write(frameTypes.ok, encodeJson(reply));
      kept.listener.tell((incoming) => visit.arrived(incoming));
      await visit.announce(frames);
    } finally {
      if (kept.visit === visit) this.#leave(request.id, kept, visit.endedBy);
    }
    if (visit.endedBy === "taken-over")
      throw new RemoteError("taken-over", "The listener was asked for again");
    if (visit.endedBy === "violation")
      throw new RemoteError("bad-request", "Only listen-end may follow forward-listen");
    if (visit.endedBy === "gone")
      throw new RemoteError("gone", "The root file system it was in is not there any more");
  }

  /** Throws `RemoteError` "not-found". The connection is the caller's from here on. */
  take({ listener, connection }: ForwardAcceptRequest): ByteStream {
    const kept = this.#kept.get(listener);
    if (kept === undefined) throw new RemoteError("not-found", "No such listener is here");
    return kept.listener.take(connection);
  }

  /** Paths lead nowhere any more: the workload stops, and with it the tree they were in. */
  closeUnix(): void {
    for (const [id, kept] of this.#kept) {
      if (kept.listener.kind !== "unix") continue;
      this.#drop(id, kept);
      kept.visit?.end("gone");
    }
  }

  close(): void {
    for (const [id, kept] of this.#kept) this.#drop(id, kept);
  }

  #find(request: ForwardListenRequest): { readonly kept: Kept; readonly created: boolean } {
    const known = this.#kept.get(request.id);
    if (known !== undefined) {
      if (known.listener.kind === request.at.kind) return { kept: known, created: false };
      throw new RemoteError("already-exists", "A listener of another kind has that id");
    }
    if (this.#kept.size >= initLimits.listenersMax)
      throw new RemoteError("limit", `${initLimits.listenersMax} listeners are open`);
    const listener = new RemoteListener(request, {
      rootFolder: this.#rootFolder,
      takeWaitingPlace: () => {
        if (this.#waitingConnections >= initLimits.waitingConnectionsMax) return false;
        this.#waitingConnections += 1;
        return true;
      },
      leaveWaitingPlace: () => {
        this.#waitingConnections -= 1;
      },
    });
    const kept: Kept = { listener, visit: undefined, timer: undefined };
    this.#kept.set(request.id, kept);
    return { kept, created: true };
  }

  /** Without a word the client has lost its link, and may come back. */
  #leave(id: string, kept: Kept, endedBy: VisitEnd | undefined): void {
    kept.visit = undefined;
    if (endedBy === "client" || endedBy === "violation") this.#drop(id, kept);
    else if (this.#kept.get(id) === kept)
      kept.timer = setTimeout(() => this.#drop(id, kept), this.#keptMs);
  }

  #drop(id: string, kept: Kept): void {
    clearTimeout(kept.timer);
    kept.listener.close();
    if (this.#kept.get(id) === kept) this.#kept.delete(id);
  }
}

interface Kept {
  readonly listener: RemoteListener;
  /** Of the client that has it; none while that one is away. */
  visit: Visit | undefined;
  timer: ReturnType<typeof setTimeout> | undefined;
}

/** `lost`: the stream broke, or ended without a word. */
type VisitEnd = "client" | "lost" | "taken-over" | "gone" | "violation";

/** One stream that asked for a listener. */
class Visit {
  readonly #arrivals: Incoming[] = [];
  readonly #wake = new Wake();
  endedBy: VisitEnd | undefined;

  end(by: VisitEnd): void {
    this.endedBy ??= by;
    this.#wake.notify();
  }

  arrived(incoming: Incoming): void {
    // Those whose turn is long over are gone by themselves.
    if (this.#arrivals.length >= initLimits.waitingConnectionsMax) this.#arrivals.shift();
    this.#arrivals.push(incoming);
    this.#wake.notify();
  }

  async announce(frames: FrameStream): Promise<void> {
    while (this.endedBy === undefined) {
      const next = this.#arrivals.shift();
      if (next === undefined) await this.#wake.wait();
      else await frames.write(frameTypes.incoming, encodeJson(next));
    }
  }

  /** Until the client says that it is done, or is gone. Never rejects. */
  async follow(frames: FrameStream): Promise<void> {
    try {
      const frame = await frames.read();
      if (frame === null) this.end("lost");
      else this.end(frame.type === frameTypes.listenEnd ? "client" : "violation");
    } catch (error) {
      this.end(error instanceof WireError ? "violation" : "lost");
      if (!(error instanceof WireError || error instanceof StreamError)) throw error;
    }
  }
}
