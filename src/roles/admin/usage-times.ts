import * as v from "valibot";
import type { FlyMachine } from "../../fly/machine-shape.ts";

export type TransitionKind = "started" | "stopped" | "suspended" | "deleted";

/** A machine came to be in a state, at a time in milliseconds since 1970. */
export interface Transition {
  readonly kind: TransitionKind;
  readonly atMs: number;
}

export interface UsageTimes {
  readonly startedMs: number | undefined;
  readonly stoppedMs: number | undefined;
  readonly deletedMs: number | undefined;
  /** In the state that it is in, by event or, where no event says so, by the machine's own dates. */
  readonly sinceMs: number | undefined;
  /** No event tells of the present state, so its time was taken from the machine's own dates. */
  readonly isEstimated: boolean;
}

/**
 * When a machine was last started, stopped and deleted. Events count by their time and not by their
 * place in the list, for nothing promises an order. Fly keeps few of them, and a machine that moved to
 * another host may have left its own behind: where none tells of the state that the machine is in, the
 * time is that of its last change.
 */
export function usageTimes(machine: FlyMachine): UsageTimes {
  const transitions = transitionsOf(machine);
  const last = (...kinds: readonly TransitionKind[]): number | undefined =>
    transitions.findLast(({ kind }) => kinds.includes(kind))?.atMs;
  const startedMs = last("started");
  const stoppedMs = last("stopped", "suspended");
  const present = presentKind(machine.state);
  // Of two copies the one on the host that it left may have been destroyed, and the machine lives on.
  const deletedMs = present === "deleted" ? last("deleted") : undefined;
  const known = { startedMs, stoppedMs, deletedMs };
  const changedMs = timeMs(machine.updated_at) ?? timeMs(machine.created_at);
  const sinceMs =
    present === undefined
      ? changedMs
      : { started: startedMs, stopped: stoppedMs, suspended: stoppedMs, deleted: deletedMs }[
          present
        ];
  const contradictedMs = present === "started" ? stoppedMs : startedMs;
  if (present === undefined) return { ...known, sinceMs, isEstimated: true };
  if (sinceMs !== undefined && (present === "deleted" || sinceMs >= (contradictedMs ?? 0)))
    return { ...known, sinceMs, isEstimated: false };
  const guessMs = changedMs === undefined ? undefined : Math.max(changedMs, contradictedMs ?? 0);
  return { ...known, [timeOf[present]]: guessMs, sinceMs: guessMs, isEstimated: true };
}

/** What the events that Fly still has tell, oldest first. */
export function transitionsOf(machine: FlyMachine): Transition[] {
  const events = Array.isArray(machine["events"]) ? machine["events"] : [];
  return events
    .filter((event) => v.is(eventShape, event))
    .flatMap(({ id, type, status, timestamp }) => {
      // "start" is done when its status is "started"; only where there is none, its type must do.
      const kind = (status ?? "") === "" ? byType.get(type ?? "") : byStatus.get(status ?? "");
      return kind === undefined ? [] : [{ kind, atMs: Math.floor(timestamp), id: id ?? "" }];
    })
    .toSorted((a, b) => a.atMs - b.atMs || (a.id < b.id ? -1 : 1))
    .map(({ kind, atMs }) => ({ kind, atMs }));
}

/** Undefined while it changes, and for what counts as none of them. */
export function presentKind(state: string): TransitionKind | undefined {
  return byStatus.get(state);
}

export function timeMs(text: string | null | undefined): number | undefined {
  const ms = Date.parse(text ?? "");
  return Number.isNaN(ms) ? undefined : ms;
}

const timeOf = {
  started: "startedMs",
  stopped: "stoppedMs",
  suspended: "stoppedMs",
  deleted: "deletedMs",
} as const;

const byStatus: ReadonlyMap<string, TransitionKind> = new Map([
  ["started", "started"],
  ["stopped", "stopped"],
  ["suspended", "suspended"],
  ["destroyed", "deleted"],
  ["deleted", "deleted"],
]);

const byType: ReadonlyMap<string, TransitionKind> = new Map([
  ["start", "started"],
  ["stop", "stopped"],
  ["suspend", "suspended"],
  ["destroy", "deleted"],
  ["delete", "deleted"],
]);

/** Dates stay within what a Date can show. */
const eventShape = v.looseObject({
  id: v.nullish(v.string()),
  type: v.nullish(v.string()),
  status: v.nullish(v.string()),
  timestamp: v.pipe(v.number(), v.minValue(1), v.maxValue(8.64e15)),
});
