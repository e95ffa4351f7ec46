import type { FlyMachine } from "../../fly/machine-shape.ts";
import { usageLimits } from "./usage-limits.ts";
import type { UsageRecord, UsageState } from "./usage-record.ts";
import { UsageMachine } from "./usage-machine.ts";
import { shapeOf, type UsageShape, versionTimeMs } from "./usage-shape.ts";
import type { UsageSnapshot } from "./usage-snapshot.ts";
import { presentKind, timeMs, transitionsOf, usageTimes } from "./usage-times.ts";

/** What the records of a journal add up to, and what a look at the fleet adds to them. Pure. */
export class UsageHistory {
  readonly #machines = new Map<string, UsageMachine>();
  #polledMs = -Infinity;

  /** Saying a thing twice changes nothing. */
  apply(record: UsageRecord): void {
    if (record.kind === "app") return;
    this.#polledMs = Math.max(this.#polledMs, record.kind === "poll" ? record.at : -Infinity);
    if (record.kind === "poll") return;
    const known = this.#known(record.machine);
    switch (record.kind) {
      case "transition":
        known.addTransition({
          state: record.state,
          atMs: record.at,
          isEstimated: record.estimated === true,
        });
        return;
      case "shape":
        known.addShape({ atMs: record.at, shape: record.shape });
        return;
      case "missing":
        known.missingMs = record.at;
        return;
      case "found":
        known.missingMs = undefined;
    }
  }

  /** The records to be written for a snapshot, which are applied as well. `tenant`: only its machines were asked for. */
  observe(snapshot: UsageSnapshot, tenant: string | undefined): UsageRecord[] {
    const before = [...this.#machines.keys()];
    const records = snapshot.machines.flatMap((machine) => this.#seen(machine, snapshot));
    const listed = new Set(snapshot.machines.map(({ id }) => id));
    for (const id of before) {
      const record = listed.has(id) ? undefined : this.#unseen(id, snapshot, tenant);
      if (record !== undefined) records.push(record);
    }
    const at = snapshot.observedAtMs;
    if (records.length > 0 || at - this.#polledMs >= usageLimits.pollMarkMs)
      records.push({ kind: "poll", at });
    for (const record of records) this.apply(record);
    return records;
  }

  /** By id. */
  machines(): UsageMachine[] {
    return [...this.#machines.values()].toSorted((a, b) => (a.id < b.id ? -1 : 1));
  }

  #seen(machine: FlyMachine, snapshot: UsageSnapshot): UsageRecord[] {
    const known = this.#machines.get(machine.id);
    const records: UsageRecord[] = [];
    for (const { state, atMs } of toldChanges(machine, known)) {
      if (known?.has(state, atMs) !== true)
        records.push({ kind: "transition", machine: machine.id, state, at: atMs });
    }
    records.push(...estimateOf(machine, known, snapshot), ...shapeChange(machine, known, snapshot));
    if (known?.missingMs !== undefined)
      records.push({ kind: "found", machine: machine.id, at: snapshot.observedAtMs });
    return records;
  }

  #unseen(
    id: string,
    snapshot: UsageSnapshot,
    tenant: string | undefined,
  ): UsageRecord | undefined {
    const known = this.#known(id);
    const owner = known.lastShape?.shape.tenant_id;
    if (tenant !== undefined && owner !== tenant) return undefined;
    if (known.missingMs !== undefined || known.last?.state === "deleted") return undefined;
    return { kind: "missing", machine: id, at: snapshot.observedAtMs };
  }

  #known(id: string): UsageMachine {
    const known = this.#machines.get(id) ?? new UsageMachine(id);
    this.#machines.set(id, known);
    return known;
  }
}

/** What Fly's events tell, after the creation. Both are taken with care, for a machine may have moved. */
function toldChanges(
  machine: FlyMachine,
  known: UsageMachine | undefined,
): { readonly state: UsageState; readonly atMs: number }[] {
  const isDeleted = presentKind(machine.state) === "deleted";
  const told = transitionsOf(machine)
    .filter(({ kind }) => isDeleted || kind !== "deleted")
    .map(({ kind, atMs }) => ({ state: kind, atMs }));
  const createdMs = timeMs(machine.created_at);
  const first = known?.first ?? told[0];
  if (createdMs === undefined || createdMs > (first?.atMs ?? Infinity)) return told;
  return [{ state: "created", atMs: createdMs }, ...told];
}

/** Where no event tells of the present state, that it is in it, from when it was last changed. */
function estimateOf(
  machine: FlyMachine,
  known: UsageMachine | undefined,
  snapshot: UsageSnapshot,
): UsageRecord[] {
  const state = presentKind(machine.state);
  if (state === undefined || known?.last?.state === state) return [];
  const { sinceMs, isEstimated } = usageTimes(machine);
  if (!isEstimated) return [];
  const at = Math.max(sinceMs ?? snapshot.observedAtMs, known?.last?.atMs ?? -Infinity);
  return [{ kind: "transition", machine: machine.id, state, at, estimated: true }];
}

/** A change took place with the machine's new version, if that is younger than what was known. */
function shapeChange(
  machine: FlyMachine,
  known: UsageMachine | undefined,
  { volumeSizes, observedAtMs }: UsageSnapshot,
): UsageRecord[] {
  const shape = shapeOf(machine, volumeSizes);
  const before = known?.lastShape;
  if (before !== undefined && !isOther(shape, before.shape)) return [];
  const versionMs = versionTimeMs(machine) ?? observedAtMs;
  const fits = versionMs > (before?.atMs ?? -Infinity) && versionMs <= observedAtMs;
  const at = fits ? versionMs : observedAtMs;
  return [{ kind: "shape", machine: machine.id, at, shape }];
}

/** A host that does not answer, and a deleted machine, are listed with less than they have. */
function isOther(shape: UsageShape, before: UsageShape): boolean {
  const known = Object.entries(shape).filter(
    ([, value]) => value !== null && !(Array.isArray(value) && value.length === 0),
  );
  const old = new Map<string, unknown>(Object.entries(before));
  return known.some(([key, value]) => !Bun.deepEquals(value, old.get(key)));
}
