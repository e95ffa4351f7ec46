import type { Call } from "../../../src/roles/admin/rollout-call.ts";
import { driveRollout } from "../../../src/roles/admin/rollout-driver.ts";
import { RolloutFleet } from "../../../src/roles/admin/rollout-fleet.ts";
import {
  decodeJournal,
  encodeRecord,
  type PlanRecord,
} from "../../../src/roles/admin/rollout-record.ts";
import { RolloutState } from "../../../src/roles/admin/rollout-state.ts";
import { Rollout, type RolloutNotice } from "../../../src/roles/admin/rollout.ts";
import type { VirtualTime } from "../../support/virtual-time.ts";
import { newImage, oldImage, type SimulatedFleet } from "./simulated-fleet.ts";

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

  constructor(time: VirtualTime, fleet: SimulatedFleet, plan: PlanRecord) {
    this.#time = time;
    this.fleet = fleet;
    this.journal = encodeRecord(plan);
  }

  /** From what the journal says to the end, or to the kill: then undefined. */
  async run(options: { kill?: Kill; stop?: AbortSignal } = {}): Promise<Rollout | undefined> {
    const text = decodeJournal(new TextEncoder().encode(this.journal));
    this.journal = this.journal.slice(0, text.bytes);
    const state = new RolloutState(text.plan, text.steps);
    const rollout = new Rollout(state);
    const fleet = new RolloutFleet({
      api: this.fleet,
      rolloutId: text.plan.id,
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

  /** Whatever changes a machine is in the journal before it is sent. */
  #checkAnnounced(machine: string, call: Call): void {
    if (["read", "handshake", "renew"].includes(call.kind)) return;
    const { steps } = decodeJournal(new TextEncoder().encode(this.journal));
    const wanted = call.kind === "cordon" ? "begin" : call.kind;
    const last = steps.findLast(
      (step) => "machine" in step && step.machine === machine && step.type === wanted,
    );
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
    const found: string[] = [];
    for (const machine of this.fleet.machines.values()) {
      const say = (words: string): void => void found.push(`${machine.id} ${words}`);
      const { ended, open, changed } = state.machines.get(machine.id) ?? {};
      if (open !== undefined) say("is unaccounted for");
      if (machine.touchedByOthers === "vanished") continue;
      const ours = machine.lease?.description.startsWith("fly-vault-admin") === true;
      if (ours && (machine.lease?.untilMs ?? 0) > this.#time.nowMs) say("is leased");
      if (machine.cordoned !== machine.cordonedBefore) say("is cordoned, or not as it was");
      if (machine.touchedByOthers === "third-image") continue;
      if (machine.image !== oldImage && machine.image !== newImage) say(`is on ${machine.image}`);
      const wanted = ["updated", "stopped"].includes(ended?.outcome ?? "") ? newImage : oldImage;
      if (ended?.outcome !== "failed" && machine.image !== wanted)
        say(`ended ${ended?.outcome} with ${machine.image}, changed ${changed}`);
      if (!machine.ranBefore && machine.state !== "stopped") say("was stopped and runs");
      if (machine.ranBefore && ended?.outcome !== "failed" && machine.state !== "started")
        say(`ran and is ${machine.state}`);
    }
    return found;
  }
}
