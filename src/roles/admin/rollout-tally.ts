import type { Outcome } from "./rollout-record.ts";
import type { RolloutState } from "./rollout-state.ts";

/** How many machines a rollout left how. Together they are all of the plan. */
export interface RolloutTally {
  readonly updated: number;
  readonly stopped: number;
  readonly skipped: number;
  readonly rolledBack: number;
  readonly untouched: number;
  readonly gone: number;
  readonly foreign: number;
  readonly failed: number;
  /** Something of ours may still be on them. */
  readonly open: number;
  readonly waiting: number;
}

export function tallyOf(state: RolloutState): RolloutTally {
  const machines = [...state.machines.values()];
  const count = (outcome: Outcome): number =>
    machines.filter(({ ended }) => ended?.outcome === outcome).length;
  return {
    updated: count("updated"),
    stopped: count("stopped"),
    skipped: count("skipped") + state.plan.skipped,
    rolledBack: count("rolled-back"),
    untouched: count("untouched"),
    gone: count("gone"),
    foreign: count("foreign"),
    failed: count("failed"),
    open: machines.filter(({ open }) => open !== undefined).length,
    waiting: machines.filter(({ open, ended }) => open === undefined && ended === undefined).length,
  };
}

/** `29 updated, 6 skipped, 3 stopped, 0 failed`, with whatever else there was. */
export function tallyWords(tally: RolloutTally, openWords = "not given back yet"): string {
  const always = [
    `${tally.updated} updated`,
    `${tally.skipped} skipped`,
    `${tally.stopped} stopped`,
    `${tally.failed} failed`,
  ];
  return [...always, ...otherWords(tally, openWords)].join(", ");
}

/** Where it failed: a "0 failed" beside the machine that did, and was rolled back, would mislead. */
export function failureWords(tally: RolloutTally): string {
  const good = [
    [tally.updated, "updated"],
    [tally.skipped, "skipped"],
    [tally.stopped, "stopped"],
    [tally.failed, "could not be rolled back"],
  ] as const;
  return [...present(good), ...otherWords(tally, "not given back yet")].join(", ");
}

function otherWords(tally: RolloutTally, openWords: string): string[] {
  return present([
    [tally.rolledBack, "rolled back"],
    [tally.untouched, "given back as they were"],
    [tally.gone, "gone meanwhile"],
    [tally.foreign, "changed by others"],
    [tally.open, openWords],
    [tally.waiting, "not begun"],
  ]);
}

function present(counts: readonly (readonly [number, string])[]): string[] {
  return counts.flatMap(([count, words]) => (count === 0 ? [] : `${count} ${words}`));
}

export function tallyJson(tally: RolloutTally): Record<string, number> {
  return {
    updated: tally.updated,
    stopped: tally.stopped,
    skipped: tally.skipped,
    rolled_back: tally.rolledBack,
    untouched: tally.untouched,
    gone: tally.gone,
    foreign: tally.foreign,
    failed: tally.failed,
    open: tally.open,
    waiting: tally.waiting,
  };
}
