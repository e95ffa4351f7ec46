import type { Call } from "../../../src/roles/admin/rollout-call.ts";
import { driveRollout } from "../../../src/roles/admin/rollout-driver.ts";
import { RolloutFleet } from "../../../src/roles/admin/rollout-fleet.ts";
import {
  decodeJournal,
  encodeRecord,
  type PlanRecord,
  type StepRecord,
} from "../../../src/roles/admin/rollout-record.ts";
import { type MachineProgress, RolloutState } from "../../../src/roles/admin/rollout-state.ts";
import { Rollout, type RolloutNotice } from "../../../src/roles/admin/rollout.ts";
import type { VirtualTime } from "../../support/virtual-time.ts";
import {
  newImage,
  oldImage,
  type SimulatedFleet,
  type SimulatedMachine,
} from "./simulated-fleet.ts";

/** The process was killed. */
export class Killed extends Error {
  override readonly name = "Killed";
}

/** Where a process ends: at which write of this run, and how much of it reaches the disk (0 to 1). */
export interface Kill {
  readonly write: number;
  readonly share: number;
}

/** A rollout that can be killed and resumed, with its journal in memory. */
export class SimulatedRollout {
  readonly fleet: SimulatedFleet;
  readonly notices: RolloutNotice[] = [];
  journal: string;
  writes = 0;
  readonly #time: VirtualTime;
  /** The last record of each kind and machine that is on the disk. */
  readonly #announced = new Map<string, StepRecord>();

  constructor(time: VirtualTime, fleet: SimulatedFleet, plan: PlanRecord) {
    this.#time = time;
    this.fleet = fleet;
    this.journal = encodeRecord(plan);
  }

  /** From what the journal says to the end, or to the kill: then undefined. */
  async run(options: { kill?: Kill; stop?: AbortSignal } = {}): Promise<Rollout | undefined> {
    const text = decodeJournal(new TextEncoder().encode(this.journal));
    this.journal = this.journal.slice(0, text.bytes);
    // Of a write that a kill cut off, too.
    this.#noteAnnounced(text.steps);
    const state = new RolloutState(text.plan, text.steps);
    const rollout = new Rollout(state);
    const fleet = new RolloutFleet({
      api: this.fleet,
      rollout: text.plan,
      leaseSeconds: text.plan.options.leaseSeconds,
      shakeHands: this.fleet.shakeHands,
    });
    let writes = 0;
    let dead = false;
    const work = driveRollout(rollout, {
      append: async (records) => {
        const lines = records.map(encodeRecord).join("");
        this.writes += 1;
        writes += 1;
        if (dead || options.kill?.write === writes) {
          if (!dead)
            this.journal += lines.slice(0, Math.floor(lines.length * (options.kill?.share ?? 0)));
          dead = true;
          throw new Killed("kill -9");
        }
        this.journal += lines;
        this.#noteAnnounced(records);
      },
      call: async (machine, call) => {
        this.#checkAnnounced(machine, call);
        return fleet.call(machine, call);
      },
      clock: this.#time,
      tell: (notice) => this.notices.push(notice),
      stop: options.stop ?? new AbortController().signal,
      abort: new AbortController().signal,
    });
    try {
      await this.#time.run(work);
      return rollout;
    } catch (error) {
      if (!(error instanceof Killed)) throw error;
      // Requests that were sent still arrive before anybody has started the program again.
      await this.#time.run(this.#time.sleep(100));
      return undefined;
    }
  }

  /** Time goes by. */
  async rest(ms: number): Promise<void> {
    await this.#time.run(this.#time.sleep(ms));
  }

  #noteAnnounced(records: readonly StepRecord[]): void {
    for (const record of records)
      if ("machine" in record) this.#announced.set(`${record.type} ${record.machine}`, record);
  }

  /** Whatever changes a machine is in the journal before it is sent. */
  #checkAnnounced(machine: string, call: Call): void {
    if (["read", "sessions", "handshake", "renew"].includes(call.kind)) return;
    const last = this.#announced.get(`${call.kind === "cordon" ? "begin" : call.kind} ${machine}`);
    if (last === undefined || (last.type === "begin" && !last.cordon))
      throw new Error(`${call.kind} of ${machine} is not in the journal`);
  }

  /** As `--resume` does it. */
  async resume(options: { kill?: Kill } = {}): Promise<Rollout | undefined> {
    const { bytes } = decodeJournal(new TextEncoder().encode(this.journal));
    this.journal = this.journal.slice(0, bytes) + encodeRecord({ type: "resume", at: "now" });
    return this.run(options);
  }

  /** What is not as a finished rollout has to leave it. */
  problems(state: RolloutState): string[] {
    return [...this.fleet.machines.values()].flatMap((machine) => {
      const progress = state.machines.get(machine.id);
      const words = [
        ...(progress?.open === undefined ? [] : ["is unaccounted for"]),
        ...(machine.touchedByOthers === "vanished" ? [] : this.#traces(machine)),
        ...(machine.touchedByOthers === undefined ? misplaced(machine, progress?.ended) : []),
      ];
      return words.map((each) => `${machine.id} ${each}`);
    });
  }

  #traces({ lease, cordoned, cordonedBefore }: SimulatedMachine): string[] {
    const ours = lease?.description.startsWith("fly-vault-admin") === true;
    return [
      ...(ours && lease.untilMs > this.fleet.nowMs ? ["is leased"] : []),
      ...(cordoned === cordonedBefore ? [] : ["is cordoned, or not as it was"]),
    ];
  }
}

/** Image and state of a machine that nobody else has touched. */
function misplaced(
  { image, state, ranBefore }: SimulatedMachine,
  ended: MachineProgress["ended"],
): string[] {
  const outcome = ended?.outcome ?? "";
  const wanted = ["updated", "stopped"].includes(outcome) ? newImage : oldImage;
  const known = image === oldImage || image === newImage;
  const failed = outcome === "failed";
  const rightState = ranBefore ? failed || state === "started" : state === "stopped";
  return [
    ...(known ? [] : [`is on ${image}`]),
    ...(failed || image === wanted ? [] : [`ended ${outcome} with ${image}`]),
    ...(rightState ? [] : [`ran before: ${ranBefore}, and is ${state}`]),
  ];
}
