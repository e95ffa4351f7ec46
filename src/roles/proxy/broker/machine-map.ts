import { isIP } from "node:net";
import type { MachinePage, MachineSummary } from "../../../fly/machine-shape.ts";
import { type MachineState, machineStates, type RelayRecord } from "../broker-record.ts";
import { brokerLimits } from "./broker-limits.ts";

/**
 * All machines of the app as the Machines API had them last, and what the relay must be told when that
 * changes. Every machine counts, whoever made it: none can be reached, or started, without a key of
 * its own.
 */
export class MachineMap {
  readonly #entries = new Map<string, Entry>();

  /** Of a list that was asked for at `askedMs`. Returns the differences. */
  applyPage({ machines }: MachinePage, askedMs: number): RelayRecord[] {
    return this.#applyRows(newestRows(machines), askedMs);
  }

  /** The whole list: what is not in it may be gone. Returns the differences. */
  applyList({ machines, unreadable }: MachinePage, askedMs: number): RelayRecord[] {
    const rows = newestRows(machines);
    const changes = this.#applyRows(rows, askedMs);
    // A list with holes says nothing of those that are not in it.
    return unreadable === 0 ? [...changes, ...this.#dropMissing(rows, askedMs)] : changes;
  }

  /** One machine that was asked for by itself at `askedMs`. Returns what the relay must know, changed or not. */
  see(machine: MachineSummary, askedMs: number): RelayRecord {
    const newer = this.#seenSince(machine.id, askedMs);
    if (newer !== undefined) return newer;
    const row = rowOf(machine);
    if (row === gone) return this.#remove(machine.id);
    this.#put(machine.id, row, askedMs);
    return { kind: "machine", machineId: machine.id, ...row };
  }

  /** The API knew no such machine when it was asked at `askedMs`. Returns what the relay must know. */
  forget(machineId: string, askedMs: number): RelayRecord {
    return this.#seenSince(machineId, askedMs) ?? this.#remove(machineId);
  }

  record(machineId: string): (RelayRecord & { readonly kind: "machine" }) | undefined {
    const entry = this.#entries.get(machineId);
    return entry && { kind: "machine", machineId, state: entry.state, address: entry.address };
  }

  /** For a relay that knows nothing yet. */
  *records(): Generator<RelayRecord> {
    for (const machineId of this.#entries.keys()) {
      const record = this.record(machineId);
      if (record !== undefined) yield record;
    }
  }

  countByState(): Record<MachineState, number> {
    const counts = Object.fromEntries(machineStates.map((state) => [state, 0])) as Record<
      MachineState,
      number
    >;
    for (const { state } of this.#entries.values()) counts[state] += 1;
    return counts;
  }

  #applyRows(rows: ReadonlyMap<string, Row | typeof gone>, askedMs: number): RelayRecord[] {
    const changes: RelayRecord[] = [];
    for (const [machineId, row] of rows) {
      const entry = this.#entries.get(machineId);
      if (entry !== undefined && entry.seenMs > askedMs) continue;
      const change = row === gone ? this.#drop(machineId) : this.#put(machineId, row, askedMs);
      if (change !== null) changes.push(change);
    }
    return changes;
  }

  #put(machineId: string, row: Row, seenMs: number): RelayRecord | null {
    const before = this.#entries.get(machineId);
    if (before === undefined && this.#entries.size >= brokerLimits.machinesMax) return null;
    this.#entries.set(machineId, { ...row, seenMs, listsWithout: 0 });
    if (before?.state === row.state && before.address === row.address) return null;
    return { kind: "machine", machineId, ...row };
  }

  #drop(machineId: string): RelayRecord | null {
    return this.#entries.has(machineId) ? this.#remove(machineId) : null;
  }

  #remove(machineId: string): RelayRecord {
    this.#entries.delete(machineId);
    return { kind: "gone", machineId };
  }

  #seenSince(machineId: string, askedMs: number): RelayRecord | undefined {
    const seenMs = this.#entries.get(machineId)?.seenMs ?? Number.NEGATIVE_INFINITY;
    return seenMs > askedMs ? this.record(machineId) : undefined;
  }

  #dropMissing(rows: ReadonlyMap<string, unknown>, askedMs: number): RelayRecord[] {
    const missing = [...this.#entries].filter(
      ([machineId, entry]) => !rows.has(machineId) && entry.seenMs <= askedMs,
    );
    const shrunken =
      missing.length >= brokerLimits.shrunkenMachinesMin && missing.length > this.#entries.size / 2;
    const listsMin = shrunken ? brokerLimits.shrunkenListsWithoutMin : brokerLimits.listsWithoutMin;
    const changes: RelayRecord[] = [];
    for (const [machineId, entry] of missing) {
      entry.listsWithout += 1;
      if (entry.listsWithout >= listsMin) changes.push(this.#remove(machineId));
    }
    return changes;
  }
}

interface Row {
  readonly state: MachineState;
  readonly address: string | undefined;
}

interface Entry extends Row {
  /** When whoever said so was asked: an older answer that comes late is not believed. */
  readonly seenMs: number;
  listsWithout: number;
}

const gone: unique symbol = Symbol("gone");

/** One row a machine: of one that was moved or replaced there may be an old one beside it. */
function newestRows(machines: readonly MachineSummary[]): Map<string, Row | typeof gone> {
  const rows = new Map<string, Row | typeof gone>();
  for (const machine of machines) {
    if (!isMachineId(machine.id)) continue;
    const row = rowOf(machine);
    const other = rows.get(machine.id);
    if (other === undefined || other === gone || (row !== gone && isOld(other)))
      rows.set(machine.id, row);
  }
  return rows;
}

function isOld(row: Row): boolean {
  return row.state === "replacing";
}

function rowOf({ state, private_ip: address }: MachineSummary): Row | typeof gone {
  if (state === "destroyed" || state === "destroying") return gone;
  const numeric = address != null && isIP(address) !== 0 && !address.includes("%");
  return { state: states.get(state) ?? "other", address: numeric ? address : undefined };
}

/** What connection ids and records have room for, and all that Fly gives out. */
function isMachineId(id: string): boolean {
  return /^[0-9a-f]{14}$/.test(id);
}

const states: ReadonlyMap<string, MachineState> = new Map([
  ["started", "started"],
  ["stopped", "stopped"],
  ["suspended", "suspended"],
  ["created", "created"],
  ["starting", "starting"],
  ["restarting", "starting"],
  ["stopping", "stopping"],
  ["suspending", "suspending"],
  ["replacing", "replacing"],
  ["updating", "replacing"],
  ["replaced", "replacing"],
  ["migrated", "replacing"],
  ["failed", "failed"],
  ["launch_failed", "failed"],
]);
