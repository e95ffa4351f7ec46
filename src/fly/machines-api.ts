import * as v from "valibot";
import { ignoreNotFound, parseAnswer } from "./api-answer.ts";
import { type ApiClock, systemClock } from "./api-clock.ts";
import { MachinesApiError, waitAction } from "./api-error.ts";
import { apiLimits } from "./api-limits.ts";
import { readPages } from "./api-pages.ts";
import type { ApiSchemas } from "./api-types.ts";
import { type ApiAnswer, type ApiRequest, ApiTransport } from "./api-transport.ts";
import {
  type LeasedMachine,
  readLeaseRequest,
  releaseLeaseRequest,
  takeLeaseRequest,
} from "./lease-request.ts";
import {
  type ExecResult,
  type FlyMachine,
  type FlyVolume,
  type MachinePage,
  type HeldLease,
  appShape,
  execShape,
  heldLeaseShape,
  leaseShape,
  machineShape,
  machineSummaryShape,
  mayHaveMetadata,
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
import { type WaitCalls, waitForState } from "./state-wait.ts";

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

  /** Those with that metadata. What is deleted hangs on it, so it is looked at here once more. */
  async listMachines(
    metadata: Readonly<Record<string, string>> = {},
    include: readonly ("include_deleted" | "include_leases")[] = [],
  ): Promise<FlyMachine[]> {
    const query = Object.fromEntries([
      ...Object.entries(metadata).map(([key, value]) => [`metadata.${key}`, value]),
      ...include.map((name) => [name, "true"]),
    ]);
    const machines = await this.#list("machines", "list machines", machineShape, query);
    return machines.filter((machine) => mayHaveMetadata(machine, metadata));
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

  /** Merged into what is there, null takes a key away; neither version nor what runs is touched. */
  async changeMetadata(
    id: string,
    metadata: Readonly<Record<string, string | null>>,
    options: ChangeOptions = {},
  ): Promise<void> {
    await this.#call({
      method: "PATCH",
      path: `${this.#path("machines", id)}/metadata`,
      body: { metadata },
      action: "change metadata",
      id,
      repeatable: true,
      leaseNonce: options.leaseNonce,
    });
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

  /**
   * Runs a command in the machine, beside its program and as root; it has so long to end. Once: what a
   * machine says is not worth much waiting.
   */
  async executeIn(id: string, command: readonly string[], seconds: number): Promise<ExecResult> {
    const answer = await this.#call({
      method: "POST",
      path: `${this.#path("machines", id)}/exec`,
      body: { command, timeout: seconds } satisfies ApiSchemas["MachineExecRequest"],
      action: "run in machine",
      id,
      repeatable: false,
      strict: {
        timeoutMs: seconds * 1_000 + apiLimits.execMarginMs,
        answerBytesMax: apiLimits.execAnswerBytesMax,
        attemptsMax: 1,
      },
    });
    return parseAnswer(execShape, answer, "run in machine");
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
    const calls: WaitCalls = {
      clock: this.#clock,
      pause: async (ms) => this.pause(ms),
      read: async () => this.readMachine(id),
      wait: async (query, seconds) => this.#wait(id, query, seconds),
    };
    return waitForState(calls, id, wanted, timeoutMs);
  }

  async #wait(id: string, query: Readonly<Record<string, string>>, seconds: number): Promise<void> {
    await this.#call({
      method: "GET",
      path: `${this.#path("machines", id)}/wait`,
      query: { ...query, timeout: String(seconds) },
      action: waitAction,
      id,
      pace: "read",
      // Asked again by whoever waits, under a deadline of its own.
      repeatable: false,
      extraTimeoutMs: seconds * 1_000,
    });
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

  #pages<S extends v.GenericSchema>(
    kind: "machines" | "volumes",
    action: string,
    shape: S,
    filter: Readonly<Record<string, string>>,
  ): AsyncGenerator<v.InferOutput<S>[]> {
    const list = { path: this.#path(kind), action, id: this.app, filter };
    return readPages(list, shape, async (request) => this.#call(request));
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
