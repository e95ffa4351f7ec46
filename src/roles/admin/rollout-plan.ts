import { printable } from "../../cli/printable.ts";
import { type FlyMachine, isMachineGone } from "../../fly/machine-shape.ts";
import { isUnfinished } from "./begun-tenant.ts";
import { digestOf, isResting } from "./rollout-call.ts";
import { rolloutLimits } from "./rollout-limits.ts";
import type { RolloutTarget } from "./rollout-record.ts";
import { viewOf } from "./rollout-view.ts";
import { tenantOf } from "./tenant-id.ts";

/** Which machines get the image, in which order, and which do not. */
export interface RolloutPlan {
  readonly image: string;
  /** The canaries first. */
  readonly targets: readonly RolloutTarget[];
  readonly canaries: number;
  readonly tenants: number;
  /** On this image already. */
  readonly skipped: readonly string[];
  /** Of the targets: not started by us. */
  readonly stopped: readonly string[];
  /** Of those: an update makes them forget what they were suspended with. */
  readonly suspended: readonly string[];
  /** Of those that run: Fly has no health checks for them. */
  readonly unchecked: readonly string[];
  /** Their hosts do not answer, so their configurations are not known. */
  readonly silent: readonly string[];
  /** Begun by a `tenant create` that has not ended. It goes on with its own template, or nobody ever uses them. */
  readonly unfinished: readonly string[];
}

/** `canary` machines first: running ones, of as many tenants and regions as there are. */
export function planRollout(
  machines: readonly FlyMachine[],
  image: string,
  canary: number,
): RolloutPlan {
  const there = machines
    .filter((machine) => !isMachineGone(machine))
    .toSorted((a, b) => compare(tenantOf(a), tenantOf(b)) || compare(a.id, b.id));
  const silent = there.filter(isSilent);
  const unfinished = there.filter((machine) => !isSilent(machine) && isUnfinished(machine));
  const known = there.filter((machine) => !isSilent(machine) && !isUnfinished(machine));
  const skipped = known.filter((machine) => isOnImage(machine, image));
  const wanted = known.filter((machine) => !isOnImage(machine, image));
  const canaries = pickCanaries(wanted, canary);
  const first = new Set(canaries);
  const ordered = [...canaries, ...wanted.filter((machine) => !first.has(machine))];
  return {
    image,
    targets: ordered.map((machine) => ({
      id: machine.id,
      tenant: toldWord(tenantOf(machine)),
      region: toldWord(machine.region ?? ""),
    })),
    canaries: canaries.length,
    tenants: new Set(ordered.map(tenantOf)).size,
    skipped: idsOf(skipped),
    stopped: idsOf(wanted.filter((machine) => isResting(viewOf(machine)))),
    suspended: idsOf(wanted.filter(({ state }) => state === "suspended")),
    unchecked: idsOf(wanted.filter(isUnchecked)),
    silent: idsOf(silent),
    unfinished: idsOf(unfinished),
  };
}

/** One after the other the machine that has most that no canary has yet: that it runs, a tenant, a region. */
function pickCanaries(machines: readonly FlyMachine[], count: number): FlyMachine[] {
  const tenants = new Set<string>();
  const regions = new Set<string>();
  const waiting = new Map(machines.map((machine) => [machine, isResting(viewOf(machine)) ? 0 : 4]));
  const picked: FlyMachine[] = [];
  while (picked.length < Math.min(count, machines.length)) {
    let best: { readonly machine: FlyMachine; readonly value: number } | undefined;
    for (const [machine, running] of waiting) {
      const isNews =
        (tenants.has(tenantOf(machine)) ? 0 : 2) + (regions.has(regionOf(machine)) ? 0 : 1);
      const value = running + isNews;
      if (value > (best?.value ?? -1)) best = { machine, value };
      if (value === valueMax) break;
    }
    if (best === undefined) break;
    const { machine } = best;
    waiting.delete(machine);
    tenants.add(tenantOf(machine));
    regions.add(regionOf(machine));
    picked.push(machine);
  }
  return picked;
}

/** It runs, and is of a new tenant and of a new region. */
const valueMax = 7;

function regionOf({ region }: FlyMachine): string {
  return region ?? "";
}

/** Nothing but its process tells whether the image is any good. */
function isUnchecked(machine: FlyMachine): boolean {
  const checks = machine["checks"];
  return !isResting(viewOf(machine)) && !(Array.isArray(checks) && checks.length > 0);
}

function isOnImage(machine: FlyMachine, image: string): boolean {
  const view = viewOf(machine);
  const digest = digestOf(view.pinned);
  return view.image === image || (digest !== undefined && digest === digestOf(image));
}

function isSilent(machine: FlyMachine): boolean {
  return machine.config == null || (machine.host_status ?? "ok") !== "ok";
}

/** A machine may write its own metadata: for the terminal, and no longer than a journal has it. */
function toldWord(text: string): string {
  return printable(text).slice(0, rolloutLimits.wordsMax);
}

function idsOf(machines: readonly FlyMachine[]): string[] {
  return machines.map(({ id }) => id);
}

function compare(a: string, b: string): number {
  return a === b ? 0 : a < b ? -1 : 1;
}
