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
  const ordered = [...canaries, ...wanted.filter((machine) => !canaries.includes(machine))];
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
    silent: idsOf(silent),
    unfinished: idsOf(unfinished),
  };
}

/** One after the other the machine that has most that no canary has yet: that it runs, a tenant, a region. */
function pickCanaries(machines: readonly FlyMachine[], count: number): FlyMachine[] {
  const picked: FlyMachine[] = [];
  const value = (machine: FlyMachine): number =>
    (isResting(viewOf(machine)) ? 0 : 4) +
    (picked.some((each) => tenantOf(each) === tenantOf(machine)) ? 0 : 2) +
    (picked.some((each) => each.region === machine.region) ? 0 : 1);
  while (picked.length < Math.min(count, machines.length)) {
    const rest = machines.filter((machine) => !picked.includes(machine));
    const [first, ...others] = rest;
    if (first === undefined) break;
    picked.push(others.reduce((best, each) => (value(each) > value(best) ? each : best), first));
  }
  return picked;
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
