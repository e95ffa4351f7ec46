import { MachinesApiError } from "../../../src/fly/api-error.ts";
import type { FlyMachine } from "../../../src/fly/machine-shape.ts";
import type { MachineUpdate } from "../../../src/fly/machine-wish.ts";
import type { RolloutApi } from "../../../src/roles/admin/rollout-fleet.ts";
import type { PlanRecord } from "../../../src/roles/admin/rollout-record.ts";
import { between, type Random } from "../../support/seed.ts";
import type { VirtualTime } from "../../support/virtual-time.ts";

export const oldImage = `registry.fly.io/app/init@sha256:${"0".repeat(64)}`;
export const newImage = `registry.fly.io/app/init@sha256:${"1".repeat(64)}`;
const thirdImage = `registry.fly.io/app/init@sha256:${"3".repeat(64)}`;

export interface SimulatedMachine {
  readonly id: string;
  readonly tenant: string;
  readonly region: string;
  state: string;
  version: number;
  image: string;
  cordoned: boolean;
  lease: { nonce: string; description: string; untilMs: number } | undefined;
  /** Others did something to it that a rollout cannot put right. */
  touchedByOthers: "vanished" | "third-image" | undefined;
  readonly ranBefore: boolean;
  readonly cordonedBefore: boolean;
}

/** How badly things go: shares of calls, 0 to 1. */
export interface Weather {
  readonly failing: number;
  /** Of those that fail: done all the same. */
  readonly doneAll: number;
  readonly stolen: number;
  readonly vanishing: number;
  readonly meddling: number;
  /** The administrator's computer sleeps for an hour, which its own clock does not tell. */
  readonly napping: number;
  /** Of the reads: how the machine was a while before, as an instance tells that has not heard. */
  readonly stale: number;
  /** Of the reads: the host does not answer, so there is no configuration. */
  readonly silent: number;
  /** Of the answers to how many sessions are open: that there is one. */
  readonly busy: number;
  /** Machines, by number, that do not stay up with the new image. */
  readonly sick: ReadonlySet<number>;
}

export const fairWeather: Weather = {
  failing: 0,
  doneAll: 0.5,
  stolen: 0,
  vanishing: 0,
  meddling: 0,
  napping: 0,
  stale: 0,
  silent: 0,
  busy: 0,
  sick: new Set(),
};

/** Machines in memory behind the calls of a rollout, on a clock that does not run by itself. */
export class SimulatedFleet implements RolloutApi {
  readonly machines = new Map<string, SimulatedMachine>();
  weather: Weather = fairWeather;
  /** Most machines that were cordoned by a rollout at one time, and most of one tenant. */
  cordonedMax = 0;
  cordonedOfTenantMax = 0;
  /** Nobody is told a lease's nonce afterwards, not even its owner. */
  secretive = false;
  readonly calls: string[] = [];
  readonly #random: Random;
  readonly #time: VirtualTime;
  readonly #before = new Map<string, { atMs: number; view: FlyMachine }[]>();
  #nonces = 0;
  #aheadMs = 0;

  constructor(time: VirtualTime, random: Random, count: number) {
    this.#time = time;
    this.#random = random;
    for (let at = 0; at < count; at += 1) this.#add(at);
  }

  plan(options: Partial<PlanRecord["options"]> = {}): PlanRecord {
    return {
      type: "plan",
      version: 1,
      id: "r-20261123-1",
      mark: "5f3a9c01",
      app: "app",
      apiBase: "https://api.machines.dev",
      image: newImage,
      startedAt: "2026-11-23T00:00:00Z",
      options: {
        concurrency: 4,
        canary: 1,
        unavailableMax: 1_000,
        soakMs: 5_000,
        startMs: 60_000,
        healthMs: 30_000,
        leaseSeconds: 30,
        drainMs: 0,
        handshake: true,
        ...options,
      },
      machines: [...this.machines.values()].map(({ id, tenant, region }) => ({
        id,
        tenant,
        region,
      })),
      skipped: 0,
      silent: [],
    };
  }

  readonly readMachine: RolloutApi["readMachine"] = async (id) =>
    this.#answer("read", id, (machine) => this.#read(machine));

  readonly updateMachine: RolloutApi["updateMachine"] = async (id, wish, options) =>
    this.#answer("update", id, (machine) => {
      this.#requireLease(machine, options?.leaseNonce);
      if (options?.leaseNonce === undefined || machine.lease === undefined)
        throw new Error(`machine ${id} is updated without a lease`);
      if (wish.current_version !== String(machine.version)) throw refusal("conflict", "stale");
      this.#update(machine, wish);
      return this.#view(machine);
    });

  readonly startMachine: RolloutApi["startMachine"] = async (id, options) =>
    this.#answer("start", id, (machine) => {
      this.#requireLease(machine, options?.leaseNonce);
      this.#boot(machine);
    });

  readonly executeIn: RolloutApi["executeIn"] = async (id) =>
    this.#answer("sessions", id, (machine) => {
      if (machine.state !== "started") throw refusal("conflict", "not started");
      const open = this.#random() < this.weather.busy ? 1 : 0;
      return { exit_code: 0, exit_signal: 0, stdout: JSON.stringify({ open }), stderr: "" };
    });

  readonly cordonMachine: RolloutApi["cordonMachine"] = async (id, options) =>
    this.#answer("cordon", id, (machine) => {
      this.#requireLease(machine, options?.leaseNonce);
      machine.cordoned = true;
      const cordoned = [...this.machines.values()].filter(
        (each) => each.cordoned && !each.cordonedBefore && each.touchedByOthers !== "vanished",
      );
      const own = cordoned.filter(({ tenant }) => tenant === machine.tenant);
      this.cordonedMax = Math.max(this.cordonedMax, cordoned.length);
      this.cordonedOfTenantMax = Math.max(this.cordonedOfTenantMax, own.length);
    });

  readonly uncordonMachine: RolloutApi["uncordonMachine"] = async (id, options) =>
    this.#answer("uncordon", id, (machine) => {
      this.#requireLease(machine, options?.leaseNonce);
      machine.cordoned = false;
    });

  readonly takeLease: RolloutApi["takeLease"] = async (id, seconds, options) =>
    this.#answer("lease", id, (machine) => {
      const { leaseNonce, description = "" } = options ?? {};
      this.#requireLease(machine, leaseNonce);
      const nonce = this.#lease(machine)?.nonce ?? `n${++this.#nonces}`;
      machine.lease = { nonce, description, untilMs: this.nowMs + seconds * 1_000 };
      return nonce;
    });

  readonly readLease: RolloutApi["readLease"] = async (id) =>
    this.#answer("read lease", id, (machine) => {
      const lease = this.#lease(machine);
      if (lease === undefined) throw refusal("not-found", "lease not found");
      const { nonce, description } = lease;
      const secret = this.secretive || description === "theirs";
      return { nonce: secret ? null : nonce, description };
    });

  readonly releaseLease: RolloutApi["releaseLease"] = async (id, leaseNonce) =>
    this.#answer("release", id, (machine) => {
      this.#requireLease(machine, leaseNonce);
      machine.lease = undefined;
    });

  /** A link to init, as far as there is one. */
  readonly shakeHands = async ({ id }: FlyMachine): Promise<void> =>
    this.#answer("handshake", id, (machine) => {
      if (machine.state !== "started") throw refusal("lost", "no answer");
    });

  #add(at: number): void {
    const random = this.#random();
    const ran = random < 0.85;
    const cordoned = ran && random < 0.05;
    const id = `m${String(at).padStart(4, "0")}`;
    this.machines.set(id, {
      id,
      tenant: `t${at % Math.max(1, between(this.#random, 1, 50))}`,
      region: ["ord", "fra", "syd"][at % 3] ?? "",
      state: ran ? "started" : "stopped",
      version: 1,
      image: oldImage,
      cordoned,
      lease: undefined,
      touchedByOthers: undefined,
      ranBefore: ran,
      cordonedBefore: cordoned,
    });
  }

  /** One call: it takes its time, may fail before or after it was done, and others may be at work. */
  async #answer<T>(name: string, id: string, work: (machine: SimulatedMachine) => T): Promise<T> {
    this.calls.push(`${name} ${id}`);
    await this.#time.sleep(between(this.#random, 1, 40));
    const { failing, doneAll } = this.weather;
    const fails = this.#random() < failing;
    const kind = (["lost", "unavailable", "malformed", "rate-limited"] as const)[
      between(this.#random, 0, 3)
    ];
    const done = fails && kind !== "rate-limited" && this.#random() < doneAll;
    if (fails && !done) throw refusal(kind ?? "lost", "not done");
    const machine = this.machines.get(id);
    if (machine !== undefined) this.#meddle(machine);
    if (machine === undefined || machine.touchedByOthers === "vanished")
      throw refusal("not-found", "no such machine");
    const result = work(machine);
    await this.#time.sleep(between(this.#random, 1, 40));
    if (fails) throw refusal(kind ?? "lost", "done");
    return result;
  }

  #meddle(machine: SimulatedMachine): void {
    const { stolen, vanishing, meddling, napping } = this.weather;
    if (this.#random() < napping) this.#aheadMs += 3_600_000;
    if (this.#random() < stolen)
      machine.lease = {
        nonce: "theirs",
        description: "theirs",
        untilMs: this.nowMs + between(this.#random, 1_000, 60_000),
      };
    if (this.#random() < vanishing) machine.touchedByOthers = "vanished";
    if (this.#random() < meddling) {
      machine.touchedByOthers = "third-image";
      machine.image = thirdImage;
      machine.version += 1;
      if (machine.state !== "stopped") this.#boot(machine);
    }
  }

  #update(machine: SimulatedMachine, wish: MachineUpdate): void {
    const { image } = wish.config;
    if (typeof image !== "string" || image === "") throw new Error("an update without an image");
    machine.image = image;
    machine.version += 1;
    machine.state = "replacing";
    const { version } = machine;
    const later = async (): Promise<void> => {
      await this.#time.sleep(between(this.#random, 20, 900));
      if (machine.version !== version || machine.state !== "replacing") return;
      if (wish.skip_launch === true) machine.state = "stopped";
      else this.#boot(machine);
    };
    void later();
  }

  #boot(machine: SimulatedMachine): void {
    machine.state = "starting";
    const { version } = machine;
    const number = Number(machine.id.slice(1));
    const sick = machine.image === newImage && this.weather.sick.has(number);
    const later = async (): Promise<void> => {
      await this.#time.sleep(between(this.#random, 50, 3_000));
      if (machine.version !== version || machine.state !== "starting") return;
      machine.state = sick && number % 2 === 0 ? "stopped" : "started";
      if (!sick || number % 2 === 0) return;
      await this.#time.sleep(2_000);
      if (machine.version === version) machine.state = "stopped";
    };
    void later();
  }

  #requireLease(machine: SimulatedMachine, nonce: string | undefined): void {
    const lease = this.#lease(machine);
    if (lease !== undefined && lease.nonce !== nonce) throw refusal("conflict", "lease held");
  }

  #lease({ lease }: SimulatedMachine): SimulatedMachine["lease"] {
    return lease !== undefined && lease.untilMs > this.nowMs ? lease : undefined;
  }

  /** By the fleet's clock. */
  get nowMs(): number {
    return this.#time.nowMs + this.#aheadMs;
  }

  #read(machine: SimulatedMachine): FlyMachine {
    const { stale, silent } = this.weather;
    const known = this.#before.get(machine.id) ?? [];
    const late = known.filter(({ atMs }) => atMs > this.nowMs - lagMs);
    const now = { atMs: this.nowMs, view: this.#view(machine) };
    this.#before.set(machine.id, [...late, now]);
    const seen = (this.#random() < stale ? late[0]?.view : undefined) ?? now.view;
    return this.#random() < silent ? { ...seen, config: null } : seen;
  }

  #view(machine: SimulatedMachine): FlyMachine {
    return {
      id: machine.id,
      state: machine.state,
      version: String(machine.version),
      config: { image: machine.image, env: { KEPT: "as it is" } },
      cordoned: machine.cordoned,
    };
  }
}

const lagMs = 900;

function refusal(kind: MachinesApiError["kind"], words: string): MachinesApiError {
  return new MachinesApiError(kind, words, { action: "be simulated" });
}
