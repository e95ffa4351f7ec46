import { Failure } from "../../../cli/failure.ts";
import { RemoteError } from "../../../protocol/errors.ts";
import type { ForwardDoor } from "./forward-door.ts";
import { countOf, endAt, type ForwardEnd, type ForwardSpec } from "./forward-spec.ts";
import { describe } from "./forward-words.ts";
import type { ForwardState, ForwardSurroundings, LiveForward } from "./live-forward.ts";
import { RemoteListen } from "./remote-listen.ts";
import { asFailure } from "../link/remote-failure.ts";

export interface RemoteForwardOptions extends ForwardSurroundings {
  readonly gateway: boolean;
  readonly randomId: () => string;
}

/** `-R`: the vault listens, each connection there is one from here to the target. */
export class RemoteForward implements LiveForward {
  readonly spec: ForwardSpec;
  readonly #listens: readonly RemoteListen[];
  /** Resolves with what the vault said to the first of its listeners that it refused, or with nothing. */
  readonly started: Promise<Failure | undefined>;
  #failure: Failure | undefined;

  constructor(spec: ForwardSpec, door: ForwardDoor, options: RemoteForwardOptions) {
    this.spec = spec;
    const { changed, note, gateway, randomId } = options;
    this.#listens = Array.from(
      { length: countOf(spec.listen) },
      (_, index) =>
        new RemoteListen(door, {
          id: randomId(),
          at: endAt(spec.listen, index),
          target: endAt(spec.target ?? spec.listen, index),
          gateway,
          note,
          changed,
        }),
    );
    this.started = this.#start(door.vault, options);
  }

  get listen(): ForwardEnd {
    const { listen } = this.spec;
    if (listen.kind === "unix") return listen;
    return listen.port === 0 ? { ...listen, port: this.#listens[0]?.port ?? 0 } : listen;
  }

  get state(): ForwardState {
    if (this.#failure !== undefined) return "failed";
    return this.#listens.every((each) => each.isUp) ? "up" : "waiting";
  }

  get connectionCount(): number {
    return this.#listens.reduce((sum, each) => sum + each.connectionCount, 0);
  }

  async close(): Promise<void> {
    await Promise.all(this.#listens.map(async (each) => each.close()));
  }

  async #start(
    vault: string,
    { changed, note }: ForwardSurroundings,
  ): Promise<Failure | undefined> {
    const refused = (error: unknown): void => {
      if (this.#failure !== undefined) return;
      const failure = failureOf(error, vault);
      this.#failure = failure;
      void this.close();
      note(`-R ${this.spec.text}: ${describe(failure)}`);
      changed();
    };
    for (const each of this.#listens) each.run().catch(refused);
    await Promise.all(this.#listens.map((each) => each.started));
    return this.#failure;
  }
}

function failureOf(error: unknown, vault: string): Failure {
  const failure = asFailure(error, vault);
  if (failure instanceof Failure) return failure;
  if (error instanceof RemoteError) return new Failure("FV-FWD-004", error.message);
  const because = error instanceof Error ? error.message : String(error);
  return new Failure("FV-INT-001", "a remote forward broke", { because });
}
