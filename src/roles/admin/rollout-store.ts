import { counted } from "../../cli/counted.ts";
import { Failure } from "../../cli/failure.ts";
import {
  isRolloutId,
  journalIds,
  lockApp,
  readJournal,
  removeJournal,
  RolloutJournal,
} from "./rollout-journal.ts";
import { rolloutLimits } from "./rollout-limits.ts";
import type { RolloutPlan } from "./rollout-plan.ts";
import { resumeCommand } from "./rollout-plan-text.ts";
import type { JournalText, PlanRecord } from "./rollout-record.ts";
import { RolloutState } from "./rollout-state.ts";

export interface OpenedRollout {
  readonly journal: RolloutJournal;
  readonly state: RolloutState;
  /** Lets another process at the app's rollouts. */
  readonly unlock: () => Promise<void>;
}

/** The rollouts of one app that this computer knows of; at most one of them is at work. */
export interface Rollouts {
  readonly begin: (
    wish: {
      readonly image: string;
      readonly options: PlanRecord["options"];
      readonly plan: RolloutPlan;
      /** Nobody else's. */
      readonly mark: string;
    },
    now: Date,
  ) => Promise<OpenedRollout>;
  /** `check` may refuse before anything is written. */
  readonly resume: (
    id: string,
    now: Date,
    check: (state: RolloutState) => Promise<void>,
  ) => Promise<OpenedRollout>;
}

/** Rejects with a `Failure` where another process is at work on this app. */
export async function openRollouts(
  folder: string,
  target: { readonly app: string; readonly apiBase: string },
  warn: Warn,
): Promise<Rollouts> {
  const lock = await lockApp(folder, target.app);
  if (lock === undefined)
    throw new Failure("FV-ADM-020", `another rollout of app "${target.app}" is at work`, {
      because: `a process of this computer holds ${folder}/${target.app}.lock`,
      fix: "wait for it to end",
    });
  const unlock = async (): Promise<void> => lock.close();
  const orUnlock = async (work: () => Promise<Omit<OpenedRollout, "unlock">>) => {
    try {
      return { ...(await work()), unlock };
    } catch (error) {
      await unlock();
      throw error;
    }
  };
  return {
    begin: async ({ image, options, plan, mark }, now) =>
      orUnlock(async () => {
        await refuseUnfinished(folder, target, warn);
        const startedAt = now.toISOString();
        const made = await RolloutJournal.create(folder, dayOf(startedAt), (id) => ({
          type: "plan",
          version: 1,
          id,
          mark,
          ...target,
          image,
          startedAt,
          options,
          machines: [...plan.targets],
          skipped: plan.skipped.length,
          silent: [...plan.silent],
        }));
        return { journal: made.journal, state: new RolloutState(made.plan) };
      }),
    resume: async (id, now, check) =>
      orUnlock(async () => {
        if (!isRolloutId(id))
          throw new Failure("FV-CLI-001", `"${id}" is no rollout`, {
            fix: "--resume r-20261123-1",
          });
        const text = await readJournal(folder, id);
        if (text === undefined)
          throw new Failure("FV-ADM-002", `there is no rollout "${id}"`, {
            because: `${folder} has no journal of that name`,
            fix: await othersWords(folder),
          });
        checkTarget(text.plan, target);
        const state = new RolloutState(text.plan, text.steps);
        await refuseOvertaken(folder, state, warn);
        await check(state);
        const journal = await RolloutJournal.open(folder, text);
        const record = { type: "resume", at: now.toISOString() } as const;
        try {
          await journal.append([record]);
        } catch (error) {
          await journal.close();
          throw error;
        }
        state.apply(record);
        return { journal, state };
      }),
  };
}

/** Machines that an earlier rollout has left leased or cordoned come first. Old journals are cleared away. */
async function refuseUnfinished(
  folder: string,
  target: { readonly app: string; readonly apiBase: string },
  warn: Warn,
): Promise<void> {
  const ids = await journalIds(folder);
  const finished: string[] = [];
  for (const id of ids) {
    const text = await readOrWarn(folder, id, warn);
    if (text === undefined) continue;
    const state = new RolloutState(text.plan, text.steps);
    if (state.finished) finished.push(id);
    const { app, apiBase } = text.plan;
    if (state.finished || app !== target.app || apiBase !== target.apiBase) continue;
    if (state.open.length === 0) continue;
    throw new Failure("FV-ADM-020", `rollout ${id} of app "${app}" is not over`, {
      because: `it may have left a lease or a cordon on ${counted(state.open.length, "machine")}`,
      fix: resumeCommand(text.plan),
    });
  }
  for (const id of finished.slice(0, -rolloutLimits.journalsKept)) await removeJournal(folder, id);
}

/** Going on would take machines back to an image from before a newer rollout, which nobody means. */
async function refuseOvertaken(folder: string, state: RolloutState, warn: Warn): Promise<void> {
  const { id, app, apiBase, image } = state.plan;
  const waiting = [...state.machines.values()].filter(
    ({ open, ended }) => open === undefined && ended === undefined,
  );
  if (state.turned !== undefined || state.open.length > 0 || waiting.length === 0) return;
  const ids = await journalIds(folder);
  for (const newer of ids.slice(ids.indexOf(id) + 1)) {
    const text = await readOrWarn(folder, newer, warn);
    if (text === undefined || text.plan.app !== app || text.plan.apiBase !== apiBase) continue;
    const { machines } = new RolloutState(text.plan, text.steps);
    const changed = waiting.filter(({ target }) => (machines.get(target.id)?.changed ?? 0) > 0);
    if (changed.length === 0) continue;
    throw new Failure("FV-ADM-020", `rollout ${id} is older than what its machines have now`, {
      because: `rollout ${newer} has changed ${counted(changed.length, "machine")} that it had yet to come to`,
      fix: `if they are to have that image, begin another rollout: --image ${image}`,
    });
  }
}

/** Told of what is no reason to stop. */
export type Warn = (words: string) => Promise<void>;

/** Nobody knows which app a damaged one is of, so it stops no other; but it may have left something. */
async function readOrWarn(
  folder: string,
  id: string,
  warn: Warn,
): Promise<JournalText | undefined> {
  try {
    return await readJournal(folder, id);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    const why = error.because === undefined ? "" : `: ${error.because}`;
    await warn(
      `${error.message}${why}; rollout ${id} may have left leases and cordons, see docs/rollout.md`,
    );
    return undefined;
  }
}

function checkTarget(
  plan: PlanRecord,
  target: { readonly app: string; readonly apiBase: string },
): void {
  if (plan.app === target.app && plan.apiBase === target.apiBase) return;
  throw new Failure("FV-CLI-001", `rollout ${plan.id} is of another app`, {
    because: `it is of app "${plan.app}" at ${plan.apiBase}`,
    fix: `pass --app ${plan.app} and --api-base ${plan.apiBase}`,
  });
}

/** `20261123`. */
function dayOf(time: string): string {
  return time.slice(0, 10).replaceAll("-", "");
}

async function othersWords(folder: string): Promise<string> {
  const newest = (await journalIds(folder)).slice(-5).toReversed();
  return newest.length === 0
    ? "resume it on the computer where it was begun"
    : `there are ${newest.join(", ")}`;
}
