import * as v from "valibot";
import { ignoreNotFound, parseAnswer } from "./api-answer.ts";
import { type ApiClock, systemClock } from "./api-clock.ts";
import { MachinesApiError } from "./api-error.ts";
import { apiLimits } from "./api-limits.ts";
import { type ApiAnswer, type ApiRequest, ApiTransport } from "./api-transport.ts";
import {
  type LeasedMachine,
  readLeaseRequest,
  releaseLeaseRequest,
  takeLeaseRequest,
} from "./lease-request.ts";
import {
  type FlyMachine,
  type FlyVolume,
  type MachinePage,
  type HeldLease,
  appShape,
  heldLeaseShape,
  leaseShape,
  machineShape,
  machineSummaryShape,
  startShape,
  volumeShape,
} from "./machine-shape.ts";
import type {
  ChangeOptions,
  LeaseOptions,
  MachineUpdate,
  MachineWish,
  VolumeWish,
  WantedState,
} from "./machine-wish.ts";
import type { MachinesApiOptions } from "./machines-api-options.ts";

/** The Machines API of one app. Answers are checked at this edge; errors are `MachinesApiError`. */
export class MachinesApi {
  readonly #transport: ApiTransport;
  readonly #clock: ApiClock;
  readonly #signal: AbortSignal | undefined;
  readonly app: string;

  constructor(options: MachinesApiOptions) {
    this.app = options.app;
    this.#clock = options.clock ?? systemClock;
    this.#signal = options.signal;
    this.#transport = options.transport ?? new ApiTransport({ ...options, clock: this.#clock });
  }

  /** The same client, cookies and limits, which only `signal` ends: for clearing up after an interruption. */
  uninterrupted(signal?: AbortSignal): MachinesApi {
    const { app } = this;
    const about = { app, clock: this.#clock, transport: this.#transport };
    return new MachinesApi(signal === undefined ? about : { ...about, signal });
  }

  /** Waits, unless the user asks to stop. */
  async pause(ms: number): Promise<void> {
    await this.#clock.sleep(ms, this.#signal);
  }

  /** The organisation of the app, where Fly tells it. */
  async readOrganisation(): Promise<string | undefined> {
    const answer = await this.#call({
      method: "GET",
      path: `/v1/apps/${encodeURIComponent(this.app)}`,
      action: "read app",
      id: this.app,
      pace: "read",
      repeatable: true,
    });
    return parseAnswer(appShape, answer, "read app").organization?.slug ?? undefined;
  }

  async listMachines(
    metadata: Readonly<Record<string, string>> = {},
    include: readonly ("include_deleted" | "include_leases")[] = [],
  ): Promise<FlyMachine[]> {
    const query = Object.fromEntries([
      ...Object.entries(metadata).map(([key, value]) => [`metadata.${key}`, value]),
      ...include.map((name) => [name, "true"]),
    ]);
    return this.#list("machines", "list machines", machineShape, query);
  }

  /** Every machine of the app without its configuration, page by page. */
  async *listSummaries(): AsyncGenerator<MachinePage> {
    const filter = { summary: "true", limit: String(apiLimits.summaryPageSize) };
    for await (const rows of this.#pages("machines", "list machines", v.unknown(), filter)) {
      const machines = rows
        .filter((row) => v.is(machineSummaryShape, row))
        // Whoever keeps a whole list keeps no more than this.
        .map(({ id, state, private_ip }) => ({ id, state, private_ip }));
      yield { machines, unreadable: rows.length - machines.length };
    }
  }

  async listVolumes(): Promise<FlyVolume[]> {
    return this.#list("volumes", "list volumes", volumeShape, {});
  }

  async readMachine(id: string): Promise<FlyMachine> {
    const answer = await this.#call({
      method: "GET",
      path: this.#path("machines", id),
      action: "read machine",
      id,
      pace: "read",
      repeatable: true,
    });
    return parseAnswer(machineShape, answer, "read machine");
  }

  /** Not repeatable: whoever asked must look for what may have been made before asking again. */
  async createMachine(wish: MachineWish): Promise<FlyMachine> {
    const answer = await this.#call({
      method: "POST",
      path: this.#path("machines"),
      body: wish,
      action: "create machine",
      id: this.app,
      repeatable: false,
      // Fly may pull the image within this call.
      extraTimeoutMs: apiLimits.callTimeoutMs,
    });
    return parseAnswer(machineShape, answer, "create machine");
  }

  /**
   * The whole configuration anew, if the machine is still of that version. Not repeatable: done once,
   * the version is another. A started machine starts anew; any other too, without `skip_launch`.
   */
  async updateMachine(
    id: string,
    wish: MachineUpdate,
    options: ChangeOptions = {},
  ): Promise<FlyMachine> {
    const answer = await this.#call({
      method: "POST",
      path: this.#path("machines", id),
      body: wish,
      action: "update machine",
      id,
      repeatable: false,
      // Fly may stop the machine within this call.
      extraTimeoutMs: apiLimits.stopTimeoutMsMax,
      leaseNonce: options.leaseNonce,
    });
    return parseAnswer(machineShape, answer, "update machine");
  }

  async startMachine(id: string, options: ChangeOptions = {}): Promise<void> {
    const answer = await this.#change("POST", "start", id, options);
    const started = v.is(startShape, answer.json) ? answer.json : undefined;
    if (started?.status !== "error") return;
    // Fly may say 200 and yet mean it.
    throw new MachinesApiError("refused", started.message ?? "the machine did not start", {
      action: "start machine",
      status: answer.status,
    });
  }

  async stopMachine(id: string, options: ChangeOptions = {}): Promise<void> {
    await this.#change("POST", "stop", id, options);
  }

  async cordonMachine(id: string, options: ChangeOptions = {}): Promise<void> {
    await this.#change("POST", "cordon", id, options);
  }

  /** Success, too, when there is none of that id any more. */
  async deleteMachine(id: string, options: ChangeOptions = {}): Promise<void> {
    await ignoreNotFound(async () => {
      await this.#call({
        method: "DELETE",
        path: this.#path("machines", id),
        query: { force: "true" },
        action: "delete machine",
        id,
        repeatable: true,
        leaseNonce: options.leaseNonce,
      });
    });
  }

  async uncordonMachine(id: string, options: ChangeOptions = {}): Promise<void> {
    await this.#change("POST", "uncordon", id, options);
  }

  /**
   * Keeps others off the machine for so many seconds; returns the nonce that lets us change it. With
   * the nonce of a lease that is held, that one is prolonged.
   */
  async takeLease(id: string, seconds: number, options: LeaseOptions = {}): Promise<string> {
    const request = takeLeaseRequest(this.#leased(id), seconds, options);
    return parseAnswer(leaseShape, await this.#call(request), request.action);
  }

  /** The lease that somebody has on the machine. Rejects with `not-found` where nobody has. */
  async readLease(id: string): Promise<HeldLease> {
    const request = readLeaseRequest(this.#leased(id));
    return parseAnswer(heldLeaseShape, await this.#call(request), request.action);
  }

  /** A lease that has run out, or a machine that has gone, is no lease held. */
  async releaseLease(id: string, leaseNonce: string): Promise<void> {
    await ignoreNotFound(async () => {
      await this.#call(releaseLeaseRequest(this.#leased(id), leaseNonce));
    });
  }

  async createVolume(wish: VolumeWish): Promise<FlyVolume> {
    const answer = await this.#call({
      method: "POST",
      path: this.#path("volumes"),
      body: wish,
      action: "create volume",
      id: this.app,
      repeatable: false,
    });
    return parseAnswer(volumeShape, answer, "create volume");
  }

  async deleteVolume(id: string): Promise<void> {
    await ignoreNotFound(async () => {
      await this.#call({
        method: "DELETE",
        path: this.#path("volumes", id),
        action: "delete volume",
        id,
        repeatable: true,
      });
    });
  }

  /**
   * Waits until the machine is in the state, however often Fly's own wait runs out, and returns it.
   * Not there yet counts as waiting for a while after the creation.
   */
  async waitForState(id: string, wanted: WantedState, timeoutMs: number): Promise<FlyMachine> {
    const startMs = this.#clock.monotonicMs();
    for (;;) {
      const elapsedMs = this.#clock.monotonicMs() - startMs;
      const leftMs = timeoutMs - elapsedMs;
      if (leftMs > 0 && !(await this.#waitOnce(id, wanted, { leftMs, elapsedMs }))) continue;
      const machine = await this.#look(id, { leftMs, elapsedMs });
      if (machine === undefined) continue;
      if (machine.state === wanted.state) return machine;
      const gaveUp = wanted.failures?.includes(machine.state) === true;
      if (!gaveUp && leftMs > 0) continue;
      throw new MachinesApiError(
        gaveUp ? "refused" : "lost",
        `machine ${id} is ${machine.state} after ${Math.round(elapsedMs / 1_000)} s, not ${wanted.state}`,
        { action: "wait for machine" },
      );
    }
  }

  /** Undefined when that came to nothing and there is time for another look. */
  async #look(id: string, time: WaitTime): Promise<FlyMachine | undefined> {
    try {
      return await this.readMachine(id);
    } catch (error) {
      if (time.leftMs <= 0) throw error;
      await this.#pauseIfPassing(error, time);
      return undefined;
    }
  }

  async #waitOnce(id: string, wanted: WantedState, time: WaitTime): Promise<boolean> {
    const seconds = Math.min(
      apiLimits.waitChunkSeconds,
      Math.max(1, Math.ceil(time.leftMs / 1_000)),
    );
    try {
      await this.#call({
        method: "GET",
        path: `${this.#path("machines", id)}/wait`,
        query: {
          // Failures too: they end the wait early.
          state: [wanted.state, ...(wanted.failures ?? []).filter(isWaitable)].join(","),
          timeout: String(seconds),
          ...(wanted.version === undefined ? {} : { version: wanted.version }),
        },
        action: "wait for machine",
        id,
        pace: "read",
        // Asked again here, under our own deadline.
        repeatable: false,
        extraTimeoutMs: seconds * 1_000,
      });
      return true;
    } catch (error) {
      // Time to look: it may have gone another way.
      if (error instanceof MachinesApiError && error.status === 408) return true;
      await this.#pauseIfPassing(error, time);
      return false;
    }
  }

  /** Before another try, if that may help; else throws the error. */
  async #pauseIfPassing(error: unknown, { elapsedMs }: WaitTime): Promise<void> {
    if (!(error instanceof MachinesApiError)) throw error;
    const fresh = error.kind === "not-found" && elapsedMs < apiLimits.freshMs;
    if (!fresh && !error.isOutcomeUnknown) throw error;
    await this.#clock.sleep(apiLimits.freshPollMs, this.#signal);
  }

  async #change(
    method: "POST",
    verb: string,
    id: string,
    options: ChangeOptions,
  ): Promise<ApiAnswer> {
    return this.#call({
      method,
      path: `${this.#path("machines", id)}/${verb}`,
      body: {},
      action: `${verb} machine`,
      id,
      repeatable: true,
      leaseNonce: options.leaseNonce,
    });
  }

  async #list<S extends v.GenericSchema>(
    ...what: readonly ["machines" | "volumes", string, S, Readonly<Record<string, string>>]
  ): Promise<v.InferOutput<S>[]> {
    return (await Array.fromAsync(this.#pages(...what))).flat();
  }

  /** A page may be empty with more to come; a cursor that repeats would never end. */
  async *#pages<S extends v.GenericSchema>(
    kind: "machines" | "volumes",
    action: string,
    shape: S,
    filter: Readonly<Record<string, string>>,
  ): AsyncGenerator<v.InferOutput<S>[]> {
    const seen = new Set<string>();
    for (let cursor: string | undefined; ;) {
      const answer = await this.#call({
        method: "GET",
        path: this.#path(kind),
        query: {
          limit: String(apiLimits.pageSize),
          ...filter,
          ...(cursor === undefined ? {} : { cursor }),
        },
        action,
        id: this.app,
        repeatable: true,
      });
      yield parseAnswer(v.array(shape), answer, action);
      cursor = answer.headers.get("fly-next-cursor") ?? undefined;
      if (cursor === undefined || cursor === "") return;
      if (seen.has(cursor) || seen.size >= apiLimits.pagesMax) {
        throw new MachinesApiError("malformed", "the list's pages do not end", { action });
      }
      seen.add(cursor);
    }
  }

  async #call(request: ApiRequest): Promise<ApiAnswer> {
    return this.#transport.send({ ...request, signal: this.#signal });
  }

  #leased(id: string): LeasedMachine {
    return { id, path: this.#path("machines", id) };
  }

  #path(kind: "machines" | "volumes", id?: string): string {
    const app = `/v1/apps/${encodeURIComponent(this.app)}/${kind}`;
    return id === undefined ? app : `${app}/${encodeURIComponent(id)}`;
  }
}

interface WaitTime {
  readonly leftMs: number;
  readonly elapsedMs: number;
}

/** `stopped` is not asked for: a machine may rest there for a moment before its first start. */
function isWaitable(state: string): boolean {
  return state === "failed" || state === "destroyed";
}
