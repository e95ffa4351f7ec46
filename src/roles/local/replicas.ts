import { AsyncLocalStorage } from "node:async_hooks";
import { localLimits } from "./limits.ts";

/** Who reads: one of the API's instances, and how far behind it is on purpose. */
export interface Reader {
  readonly instance: number;
  readonly agoMs: number;
}

interface Kept {
  readonly id: string;
  readonly createdAtMs: number;
}

interface Copy<T> {
  readonly atMs: number;
  readonly record: T;
}

const caller = new AsyncLocalStorage<number>();

/** What is changed meanwhile, and in consequence of it, is a write through this instance. */
export async function asInstance<T>(instance: number, work: () => Promise<T> | T): Promise<T> {
  return caller.run(instance, async () => work());
}

/**
 * Fly's API has several instances, which tell each other of changes by gossip: the one that took a
 * write knows of it at once, the others a while later. Here each record has its past, and who
 * wrote to it last; what a reader sees is now or then.
 */
export class Replicas<T extends Kept> {
  readonly #lagMs: number;
  readonly #nowMs: () => number;
  readonly #past = new Map<string, Copy<T>[]>();
  readonly #writers = new Map<string, number>();
  #keepMs: number;

  constructor(options: { readonly lagMs: number; readonly nowMs: () => number }) {
    this.#lagMs = options.lagMs;
    this.#keepMs = options.lagMs;
    this.#nowMs = options.nowMs;
  }

  /** Remembers what changes from now on for so long, or for as long as the lag if that is longer. */
  keep(forMs: number, records: readonly T[]): void {
    const wasKept = this.#keepMs > 0;
    this.#keepMs = Math.max(this.#lagMs, forMs);
    if (this.#keepMs === 0) this.#past.clear();
    // What is there already has always been there, as far as anybody can tell.
    else if (!wasKept) for (const record of records) this.#add(record, record.createdAtMs);
  }

  /** To be called after every change of a record. */
  note(record: T): void {
    if (this.#keepMs === 0) return;
    const instance = caller.getStore();
    if (instance !== undefined) this.#writers.set(record.id, instance);
    this.#add(record, this.#nowMs());
  }

  /** The record as this reader knows it; undefined when it has not heard of it. */
  seen(record: T, reader: Reader): T | undefined {
    const isWriter = this.#writers.get(record.id) === reader.instance;
    const agoMs = Math.max(reader.agoMs, isWriter ? 0 : this.#lagMs);
    if (agoMs === 0) return record;
    const thenMs = this.#nowMs() - agoMs;
    const past = this.#past.get(record.id);
    // Unchanged since there is a memory.
    if (past === undefined) return record.createdAtMs > thenMs ? undefined : record;
    return past.findLast(({ atMs }) => atMs <= thenMs)?.record;
  }

  #add(record: T, atMs: number): void {
    const past = this.#past.get(record.id) ?? [];
    past.push({ atMs, record: structuredClone(record) });
    const oldestMs = this.#nowMs() - this.#keepMs;
    // The last one from before still says how it was then.
    const first = past.findLastIndex((copy) => copy.atMs <= oldestMs);
    past.splice(0, Math.max(0, first, past.length - localLimits.replicaCopiesMax));
    this.#past.set(record.id, past);
    if (this.#past.size > localLimits.replicaRecordsMax) this.#forgetOldest();
  }

  #forgetOldest(): void {
    const [oldest] = this.#past.keys();
    if (oldest === undefined) return;
    this.#past.delete(oldest);
    this.#writers.delete(oldest);
  }
}

const instances = 2;
const cookieName = "fly-local-instance";

/** The instance that the client's cookie names; without one, each in turn. */
export class InstanceChoice {
  #next = 0;

  choose(cookies: string | null): number {
    const named = new RegExp(`(?:^|;\\s*)${cookieName}=(\\d)(?:;|$)`, "u").exec(cookies ?? "")?.[1];
    if (named !== undefined && Number(named) < instances) return Number(named);
    this.#next = (this.#next + 1) % instances;
    return this.#next;
  }
}

/** Pins the client to the instance that took its write. */
export function pinningCookie(instance: number): string {
  return `${cookieName}=${instance}; Path=/; Max-Age=60; HttpOnly`;
}
