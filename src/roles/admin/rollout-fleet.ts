import { MachinesApiError } from "../../fly/api-error.ts";
import { type FlyMachine, type HeldLease, isMachineGone } from "../../fly/machine-shape.ts";
import type { MachinesApi } from "../../fly/machines-api.ts";
import { apiErrorLine } from "./api-failure.ts";
import type { Answer, Call } from "./rollout-call.ts";
import { lastLogLines, openSessions } from "./machine-report.ts";
import { type Handshake, HandshakeFailed } from "./rollout-handshake.ts";
import type { PlanRecord } from "./rollout-record.ts";
import { configOf } from "./updated-config.ts";
import { viewOf } from "./rollout-view.ts";

/** The part of the client that a rollout uses. */
export type RolloutApi = Pick<
  MachinesApi,
  | "readMachine"
  | "updateMachine"
  | "startMachine"
  | "cordonMachine"
  | "uncordonMachine"
  | "takeLease"
  | "readLease"
  | "releaseLease"
  | "executeIn"
>;

/** Carries the calls of a rollout out on the Machines API. */
export class RolloutFleet {
  readonly #api: RolloutApi;
  readonly #lease: { readonly seconds: number; readonly description: string };
  readonly #shakeHands: Handshake;
  /** As last read: an update sends all of the configuration back. */
  readonly #seen = new Map<string, FlyMachine>();
  readonly #lastWords = new Map<string, Promise<unknown>>();

  constructor(options: {
    readonly api: RolloutApi;
    readonly rollout: Pick<PlanRecord, "id" | "mark">;
    readonly leaseSeconds: number;
    readonly shakeHands: Handshake;
  }) {
    this.#api = options.api;
    const description = leaseDescription(options.rollout);
    this.#lease = { seconds: options.leaseSeconds, description };
    this.#shakeHands = options.shakeHands;
  }

  async call(machine: string, call: Call): Promise<Answer> {
    // A renewal takes no log along, and cannot wait for a machine that answers slowly on purpose.
    if (call.kind !== "renew") await this.#lastWords.get(machine);
    try {
      return await this.#call(machine, call);
    } catch (error) {
      if (error instanceof HandshakeFailed)
        return { kind: "fault", fault: { kind: "unavailable", words: error.message } };
      if (!(error instanceof MachinesApiError)) throw error;
      return { kind: "fault", fault: { kind: kindFor(call, error), words: apiErrorLine(error) } };
    }
  }

  /**
   * The last lines of its log, none where they cannot be had, or when all is to end now: whatever else
   * is to be done to it waits until they are here.
   */
  async lastWords(machine: string): Promise<readonly string[]> {
    const asking = lastLogLines(this.#api, machine).catch((): readonly string[] => []);
    this.#lastWords.set(machine, asking);
    const lines = await asking;
    this.#lastWords.delete(machine);
    return lines;
  }

  /** The machine as it was last read, to tell about it. */
  seen(machine: string): FlyMachine | undefined {
    return this.#seen.get(machine);
  }

  async #call(id: string, call: Call): Promise<Answer> {
    switch (call.kind) {
      case "lease":
        return { kind: "leased", nonce: await this.#leaseOf(id, call.nonce) };
      case "renew":
        return { kind: "leased", nonce: await this.#takeLease(id, call.nonce) };
      case "read":
        return this.#look(await this.#api.readMachine(id));
      case "sessions":
        return { kind: "counted", open: await openSessions(this.#api, id) };
      case "cordon":
        await this.#api.cordonMachine(id, { leaseNonce: call.nonce });
        return { kind: "done" };
      case "uncordon":
        await this.#api.uncordonMachine(id, { leaseNonce: call.nonce });
        return { kind: "done" };
      case "launch":
        await this.#api.startMachine(id, { leaseNonce: call.nonce });
        return { kind: "done" };
      case "update":
        return this.#update(id, call);
      case "handshake":
        await this.#shakeHands(
          this.#seen.get(id) ?? (await this.#api.readMachine(id)),
          call.timeoutMs,
        );
        return { kind: "done" };
      case "release":
        await this.#api.releaseLease(id, call.nonce);
        return { kind: "done" };
    }
  }

  /** Without its configuration nobody knows which image a machine has, and an update could not be sent. */
  #look(machine: FlyMachine): Answer {
    if (!isMachineGone(machine)) configOf(machine);
    this.#seen.set(machine.id, machine);
    return { kind: "seen", view: viewOf(machine) };
  }

  /** All of the configuration as it is, but for the image: what is left out would be removed. */
  async #update(id: string, call: Extract<Call, { kind: "update" }>): Promise<Answer> {
    const machine = await this.#latest(id, call.version);
    const wish = {
      config: { ...configOf(machine), image: call.image },
      current_version: call.version,
      ...(call.launch ? {} : { skip_launch: true }),
    };
    return this.#look(await this.#api.updateMachine(id, wish, { leaseNonce: call.nonce }));
  }

  /**
   * Metadata may be changed without the lease, and without a new version: what was changed since the look
   * would be put back. So it is looked at once more, right before.
   */
  async #latest(id: string, version: string): Promise<FlyMachine> {
    const known = this.#seen.get(id);
    if (known === undefined) return this.#api.readMachine(id);
    const fresh = await this.#api.readMachine(id).catch((error: unknown) => {
      if (error instanceof MachinesApiError && error.kind !== "unauthorised") return known;
      throw error;
    });
    const isIt = fresh.config != null && viewOf(fresh).version === version;
    return isIt ? fresh : known;
  }

  /**
   * A lease of ours, whatever became of the ones that were asked for before: the one whose nonce we
   * know, else a new one, else one that bears our description, because its answer never came.
   */
  async #leaseOf(id: string, known: string | undefined): Promise<string> {
    if (known !== undefined) {
      try {
        return await this.#takeLease(id, known);
      } catch (error) {
        if (!isContested(error)) throw error;
      }
    }
    try {
      return await this.#takeLease(id);
    } catch (error) {
      if (!isContested(error)) throw error;
      const held = await this.#readLease(id);
      if (held?.description !== this.#lease.description || held.nonce == null) throw error;
      return this.#takeLease(id, held.nonce);
    }
  }

  async #readLease(id: string): Promise<HeldLease | undefined> {
    try {
      return await this.#api.readLease(id);
    } catch (error) {
      // It ran out in between; the next try will have it.
      if (error instanceof MachinesApiError && error.kind === "not-found") return undefined;
      throw error;
    }
  }

  async #takeLease(id: string, leaseNonce?: string): Promise<string> {
    const { seconds, description } = this.#lease;
    const options = leaseNonce === undefined ? { description } : { description, leaseNonce };
    return this.#api.takeLease(id, seconds, options);
  }
}

/** Tells those who find a machine leased by whom, and a resumed rollout that the lease is its own. */
function leaseDescription({ id, mark }: Pick<PlanRecord, "id" | "mark">): string {
  return `fly-vault-admin rollout ${id} (${mark})`;
}

/** A token that may do all else need not be allowed to run commands. */
function kindFor({ kind }: Call, error: MachinesApiError): MachinesApiError["kind"] {
  return kind === "sessions" && error.kind === "unauthorised" ? "refused" : error.kind;
}

function isContested(error: unknown): boolean {
  return error instanceof MachinesApiError && error.kind === "conflict";
}
