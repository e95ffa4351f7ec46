import { jsonResult } from "../../cli/json-document.ts";
import type { Context } from "../../cli/context.ts";
import { counted } from "../../cli/counted.ts";
import { formatDuration } from "../../cli/duration.ts";
import { Failure } from "../../cli/failure.ts";
import { systemClock } from "../../fly/api-clock.ts";
import type { MachinesApi } from "../../fly/machines-api.ts";
import { Interrupted } from "./connection.ts";
import { resumeCommand } from "./rollout-plan-text.ts";
import { driveRollout } from "./rollout-driver.ts";
import { RolloutFleet } from "./rollout-fleet.ts";
import { quicHandshake } from "./rollout-handshake.ts";
import { rolloutLimits } from "./rollout-limits.ts";
import type { PlanRecord } from "./rollout-record.ts";
import { RolloutReporter } from "./rollout-reporter.ts";
import type { OpenedRollout } from "./rollout-store.ts";
import type { RolloutState } from "./rollout-state.ts";
import { failureWords, tallyJson, tallyOf, tallyWords } from "./rollout-tally.ts";
import { eventLines } from "./rollout-view.ts";
import { Rollout } from "./rollout.ts";

/** A rollout that is opened, with the options of this run. */
export interface RolloutJob extends OpenedRollout {
  readonly options: PlanRecord["options"];
}

/** Runs it to its end, or as far as the user lets it. What is not done is a `Failure` that tells how to go on. */
export async function runRollout(
  api: MachinesApi,
  job: RolloutJob,
  output: { readonly json: boolean; readonly quiet: boolean },
  context: Context,
): Promise<number> {
  const { state, journal } = job;
  const stops = new StopRequests(context);
  const rollout = new Rollout(state, job.options);
  const fleet = new RolloutFleet({
    api: api.uninterrupted(stops.abort),
    rollout: state.plan,
    leaseSeconds: job.options.leaseSeconds,
    shakeHands: quicHandshake(context),
  });
  const reporter = new RolloutReporter(context, {
    ...output,
    rollout,
    eventsOf: (machine) => {
      const seen = fleet.seen(machine);
      return seen === undefined ? [] : eventLines(seen, rolloutLimits.eventsShown);
    },
    logOf: async (machine) => fleet.lastWords(machine),
  });
  stops.onFirst(() => reporter.say("finishing the machines at work; Ctrl-C again ends at once"));
  reporter.say(headline(state));
  const startedMs = context.monotonicMs();
  try {
    // A signal that came before ours were listened for.
    await api.pause(0);
    await driveRollout(rollout, {
      append: async (records) => journal.append(records),
      call: async (machine, call) => fleet.call(machine, call),
      clock: systemClock,
      tell: (notice) => reporter.tell(notice),
      stop: stops.stop,
      abort: stops.abort,
    });
  } catch (error) {
    if (!(error instanceof Interrupted)) throw error;
    await reporter.close();
    await context.stderr.write(`interrupted; ${resumeCommand(state.plan)}\n`);
    return error.exitCode;
  } finally {
    stops.close();
    await reporter.close();
    await journal.close();
    await job.unlock();
  }
  return conclude(rollout, { output, context, tookMs: context.monotonicMs() - startedMs });
}

async function conclude(
  rollout: Rollout,
  {
    output,
    context,
    tookMs,
  }: {
    readonly output: { readonly json: boolean };
    readonly context: Context;
    readonly tookMs: number;
  },
): Promise<number> {
  const { state } = rollout;
  const tally = tallyOf(state);
  const failure = failureOf(rollout, failureWords(tally));
  if (output.json) {
    const result = {
      rollout: state.plan.id,
      image: state.plan.image,
      took_ms: Math.round(tookMs),
      turned_because: state.turned ?? null,
      finished: state.finished,
      ...tallyJson(tally),
      sessions_cut: rollout.sessionsCut,
      exit: failure?.exitCode ?? 0,
    };
    await context.stdout.write(jsonResult("tenant-update-image", result));
  } else if (failure === undefined)
    await context.stdout.write(
      `done: ${tallyWords(tally)}${cutWords(rollout)} · ${formatDuration(tookMs)}\n`,
    );
  if (failure !== undefined) throw failure;
  return 0;
}

function cutWords({ sessionsCut }: Rollout): string {
  return sessionsCut === 0 ? "" : ` · ${counted(sessionsCut, "open session")} ended by it`;
}

function failureOf({ state, refusal, stranded }: Rollout, tally: string): Failure | undefined {
  const resume = state.finished ? {} : { fix: resumeCommand(state.plan) };
  if (refusal !== undefined)
    return new Failure("FV-API-002", `rollout ${state.plan.id} stopped: the token is refused`, {
      because: `${refusal}; ${tally}`,
      ...resume,
    });
  const held = [...stranded].map(([id, reason]) => `machine ${id} is not given back: ${reason}`);
  const out = state.plan.silent.map((id) => `machine ${id} was left out, its host does not answer`);
  const failed = [...state.machines.values()].flatMap(({ target, ended }) =>
    ended?.outcome === "failed" || ended?.outcome === "foreign"
      ? [`machine ${target.id}: ${ended.reason ?? ended.outcome}`]
      : [],
  );
  if (state.turned !== undefined)
    return new Failure("FV-ADM-004", `rollout ${state.plan.id} was rolled back`, {
      because: [state.turned, ...failed, ...held, tally].join("; "),
      fix: state.finished
        ? "mend the image, then begin another rollout"
        : resumeCommand(state.plan),
    });
  if (state.finished && out.length === 0) return undefined;
  return new Failure("FV-ADM-004", `rollout ${state.plan.id} is only partly done`, {
    because: [...held, ...failed, ...out, tally].join("; "),
    fix: state.finished
      ? "run the same command again when the hosts answer"
      : resumeCommand(state.plan),
  });
}

/** For who has taken the id of another one, too. */
function headline(state: RolloutState): string {
  const { id, app, image } = state.plan;
  const { open, waiting } = tallyOf(state);
  return `rollout ${id} of app ${app} to ${image}: ${open} at work, ${waiting} not begun`;
}

/** The first signal asks for no more work, the second for the end. */
class StopRequests {
  readonly #stop = new AbortController();
  readonly #abort = new AbortController();
  readonly close: () => void;
  #first: () => void = () => undefined;

  constructor(context: Context) {
    this.close = context.onStop((signal) => {
      if (this.#stop.signal.aborted) this.#abort.abort(new Interrupted(signal));
      else {
        this.#stop.abort();
        this.#first();
      }
    });
  }

  onFirst(listener: () => void): void {
    this.#first = listener;
  }

  get stop(): AbortSignal {
    return this.#stop.signal;
  }

  get abort(): AbortSignal {
    return this.#abort.signal;
  }
}
