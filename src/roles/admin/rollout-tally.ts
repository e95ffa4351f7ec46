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
export function tallyWords(tally: RolloutTally): string {
  const always = [
    `${tally.updated} updated`,
    `${tally.skipped} skipped`,
    `${tally.stopped} stopped`,
    `${tally.failed} failed`,
  ];
  const sometimes = [
    [tally.rolledBack, "rolled back"],
    [tally.untouched, "given back as they were"],
    [tally.gone, "gone meanwhile"],
    [tally.foreign, "changed by others"],
    [tally.open, "not given back yet"],
    [tally.waiting, "not begun"],
  ] as const;
  return [...always, ...sometimes.flatMap(([n, words]) => (n === 0 ? [] : `${n} ${words}`))].join(
    ", ",
  );
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
