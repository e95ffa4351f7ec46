import type { ApiClock } from "../../fly/api-clock.ts";
import type { Answer, Call } from "./rollout-call.ts";
import type { StepRecord } from "./rollout-record.ts";
import type { Rollout, RolloutEvent, RolloutNotice, RolloutOutput } from "./rollout.ts";

/** What a rollout touches: the journal, the machines, the time, and whoever looks on. */
export interface RolloutPorts {
  /** Resolves when the records are on the disk. */
  readonly append: (records: readonly StepRecord[]) => Promise<void>;
  /** Never rejects for what the API says; that is an answer. */
  readonly call: (machine: string, call: Call) => Promise<Answer>;
  readonly clock: Pick<ApiClock, "monotonicMs" | "sleep">;
  readonly tell: (notice: RolloutNotice) => void;
  /** Aborted when the user wants no more to be begun, and when everything is to end now. */
  readonly stop: AbortSignal;
  readonly abort: AbortSignal;
}

/** Runs the state machine until it is over. Rejects with the reason of `abort`, or what `append` rejects with. */
export async function driveRollout(rollout: Rollout, ports: RolloutPorts): Promise<void> {
  const inbox = new Inbox(ports.clock);
  const stop = (): void => inbox.put({ kind: "stop" });
  ports.stop.addEventListener("abort", stop, { once: true });
  const abort = (): void => inbox.fail(ports.abort.reason);
  ports.abort.addEventListener("abort", abort, { once: true });
  if (ports.stop.aborted) stop();
  try {
    await carryOut(rollout.start(ports.clock.monotonicMs()), ports, inbox);
    while (!rollout.isOver) {
      const event = await inbox.take(rollout.deadlineMs);
      await carryOut(rollout.handle(event, ports.clock.monotonicMs()), ports, inbox);
    }
  } finally {
    ports.stop.removeEventListener("abort", stop);
    ports.abort.removeEventListener("abort", abort);
  }
}

/** In order: the records before a call are on the disk when it is sent. */
async function carryOut(
  outputs: readonly RolloutOutput[],
  ports: RolloutPorts,
  inbox: Inbox,
): Promise<void> {
  let records: StepRecord[] = [];
  const flush = async (): Promise<void> => {
    if (records.length > 0) await ports.append(records);
    records = [];
    ports.abort.throwIfAborted();
  };
  for (const output of outputs) {
    if (output.kind === "record") records.push(output.record);
    else if (output.kind === "notice") ports.tell(output.notice);
    else {
      await flush();
      send(output.machine, output.call, ports, inbox);
    }
  }
  await flush();
}

function send(machine: string, call: Call, ports: RolloutPorts, inbox: Inbox): void {
  ports.call(machine, call).then(
    (answer) => inbox.put({ kind: "answer", machine, call, answer }),
    (error: unknown) => inbox.fail(error),
  );
}

/** What came in, in its order, or the time when nothing did. */
class Inbox {
  readonly #clock: RolloutPorts["clock"];
  readonly #events: RolloutEvent[] = [];
  #failure: { readonly error: unknown } | undefined;
  #wake: (() => void) | undefined;

  constructor(clock: RolloutPorts["clock"]) {
    this.#clock = clock;
  }

  put(event: RolloutEvent): void {
    this.#events.push(event);
    this.#wake?.();
  }

  fail(error: unknown): void {
    this.#failure ??= { error };
    this.#wake?.();
  }

  async take(deadlineMs: number | undefined): Promise<RolloutEvent> {
    for (;;) {
      if (this.#failure !== undefined) throw this.#failure.error;
      const event = this.#events.shift();
      if (event !== undefined) return event;
      if (deadlineMs !== undefined && deadlineMs <= this.#clock.monotonicMs())
        return { kind: "time" };
      await this.#pause(deadlineMs);
    }
  }

  async #pause(deadlineMs: number | undefined): Promise<void> {
    const woken = new AbortController();
    const waiting = new Promise<void>((resolve) => {
      this.#wake = () => {
        woken.abort();
        resolve();
      };
    });
    const leftMs = deadlineMs === undefined ? undefined : deadlineMs - this.#clock.monotonicMs();
    if (leftMs === undefined) await waiting;
    else {
      // The sleep that was cut short has nothing to say.
      const slept = this.#clock.sleep(Math.max(0, leftMs), woken.signal).catch(() => undefined);
      await Promise.race([waiting, slept]);
    }
    this.#wake = undefined;
  }
}
