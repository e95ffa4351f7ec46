import type { Change, TimedShape, UsageMachine } from "./usage-machine.ts";
import { usageLimits } from "./usage-limits.ts";
import type { UsageState } from "./usage-record.ts";
import type { UsageShape } from "./usage-shape.ts";

/** A machine was in one state and of one shape for a time. */
export interface UsageInterval {
  readonly machineId: string;
  readonly state: Exclude<UsageState, "deleted">;
  readonly fromMs: number;
  readonly toMs: number;
  /** It goes on beyond the end of the window. */
  readonly isOngoing: boolean;
  /** One of its ends is our best guess, for no event told of it. */
  readonly isEstimated: boolean;
  readonly shape: UsageShape;
}

export interface Window {
  readonly sinceMs: number;
  /** Not after the last look at the fleet. */
  readonly untilMs: number;
}

export class TooManyIntervals extends Error {
  override readonly name = "TooManyIntervals";
}

/** By machine, then time. No two of one machine overlap. Throws `TooManyIntervals`. */
export function usageIntervals(machines: readonly UsageMachine[], window: Window): UsageInterval[] {
  const intervals: UsageInterval[] = [];
  for (const machine of machines) {
    intervals.push(...intervalsOf(machine, window));
    if (intervals.length > usageLimits.intervalsMax)
      throw new TooManyIntervals(`More than ${usageLimits.intervalsMax} intervals`);
  }
  return intervals;
}

function intervalsOf(machine: UsageMachine, window: Window): UsageInterval[] {
  const { shapes } = machine;
  const changes = distinctChanges(machine);
  return changes.flatMap((change, at) => {
    const { state } = change;
    if (state === "deleted") return [];
    const next = changes[at + 1];
    return clipped(
      {
        machineId: machine.id,
        state,
        fromMs: change.atMs,
        toMs: next?.atMs ?? Infinity,
        isEstimated: change.isEstimated || next?.isEstimated === true,
      },
      window,
      shapes,
    );
  });
}

type Span = Omit<UsageInterval, "shape" | "isOngoing">;

/** The part of a span that lies in the window, cut where the shape changed. */
function clipped(span: Span, window: Window, shapes: readonly TimedShape[]): UsageInterval[] {
  const fromMs = Math.max(span.fromMs, window.sinceMs);
  const toMs = Math.min(span.toMs, window.untilMs);
  if (fromMs >= toMs) return [];
  const cuts = shapes
    .slice(1)
    .map(({ atMs }) => atMs)
    .filter((atMs) => atMs > fromMs && atMs < toMs);
  const starts = [fromMs, ...cuts];
  return starts.map((startMs, at) => {
    const isLast = at === starts.length - 1;
    return {
      machineId: span.machineId,
      state: span.state,
      fromMs: startMs,
      toMs: starts[at + 1] ?? toMs,
      isOngoing: isLast && span.toMs > window.untilMs,
      isEstimated: span.isEstimated,
      shape: shapeAt(shapes, startMs),
    };
  });
}

/**
 * Only what changes the state, up to the deletion, or to when Fly did not list the machine any more. Of
 * a machine that was migrated, copies were deleted before: the last deletion is its own.
 */
function distinctChanges({ transitions, missingMs }: UsageMachine): Change[] {
  const missing: readonly Change[] =
    missingMs === undefined ? [] : [{ state: "deleted", atMs: missingMs, isEstimated: true }];
  const all = [...transitions, ...missing].toSorted((a, b) => a.atMs - b.atMs);
  const deletion = all.findLastIndex(({ state }) => state === "deleted");
  const life = deletion === -1 ? all : all.slice(0, deletion + 1);
  const changes: Change[] = [];
  for (const [at, change] of life.entries()) {
    const isCopy = change.state === "deleted" && at !== deletion;
    if (!isCopy && changes.at(-1)?.state !== change.state) changes.push(change);
  }
  return changes;
}

function shapeAt(shapes: readonly TimedShape[], atMs: number): UsageShape {
  const shape = shapes.findLast((each) => each.atMs <= atMs) ?? shapes[0];
  return shape?.shape ?? unknownShape;
}

const unknownShape: UsageShape = {
  tenant_id: "",
  region: null,
  cpu_kind: null,
  cpus: null,
  memory_mib: null,
  image_digest: null,
  volumes: [],
};
