import { randomBytes } from "node:crypto";
import { MachinesApiError } from "../../fly/api-error.ts";
import type { HeldLease } from "../../fly/machine-shape.ts";
import type { MachinesApi } from "../../fly/machines-api.ts";

/**
 * Does something to a machine that nobody else may change meanwhile. The lease is short and renewed as
 * long as the work lasts, so one whose owner was killed is soon over. It bears a mark, so that one
 * whose answer was lost is found again.
 */
export async function withLease<T>(
  api: MachinesApi,
  id: string,
  work: (leaseNonce: string) => Promise<T>,
  life: LeaseLife = defaultLife,
): Promise<T> {
  const description = `${ourLeases} (${randomBytes(8).toString("hex")})`;
  const leaseNonce = await acquire(api, id, { description, seconds: life.seconds });
  const clearing = api.uninterrupted();
  const endRenewals = renewEvery(life.renewMs, async () => {
    await clearing.takeLease(id, life.seconds, { description, leaseNonce });
  });
  try {
    return await work(leaseNonce);
  } finally {
    await endRenewals();
    await quietly(async () => clearing.releaseLease(id, leaseNonce));
  }
}

export interface LeaseLife {
  readonly seconds: number;
  readonly renewMs: number;
}

const defaultLife: LeaseLife = { seconds: 30, renewMs: 10_000 };
/** Of commands that change one machine after the other; a rollout's say more. */
const ourLeases = "fly-vault-admin change";

interface WantedLease {
  readonly description: string;
  readonly seconds: number;
}

/**
 * Somebody else's lease is an error at once; one of another run of ours is waited for, as long as one
 * lives that nobody renews any more.
 */
async function acquire(api: MachinesApi, id: string, wanted: WantedLease): Promise<string> {
  const { description, seconds } = wanted;
  for (let waitedMs = 0; ; waitedMs += pollMs) {
    const problem = await take(api, id, wanted);
    if (typeof problem === "string") return problem;
    const mayBeOurs = problem.kind === "conflict" || problem.isOutcomeUnknown;
    const held = mayBeOurs ? await heldLease(api, id) : undefined;
    const nonce = held?.description === description ? held.nonce : undefined;
    if (nonce != null) return api.takeLease(id, seconds, { description, leaseNonce: nonce });
    const isOver = waitedMs >= seconds * 1_000 + marginMs;
    const isTheirs = problem.kind === "conflict" && !isOfOurs(held);
    if (!mayBeOurs || isTheirs || isOver) throw problem;
    await api.pause(pollMs);
  }
}

async function take(
  api: MachinesApi,
  id: string,
  { description, seconds }: WantedLease,
): Promise<string | MachinesApiError> {
  try {
    return await api.takeLease(id, seconds, { description });
  } catch (error) {
    if (error instanceof MachinesApiError) return error;
    throw error;
  }
}

/** Undefined when nobody has one, or it cannot be told. */
async function heldLease(api: MachinesApi, id: string): Promise<HeldLease | undefined> {
  try {
    return await api.readLease(id);
  } catch (error) {
    if (error instanceof MachinesApiError) return undefined;
    throw error;
  }
}

function isOfOurs(held: HeldLease | undefined): boolean {
  return held?.description?.startsWith(ourLeases) === true;
}

/** Until the returned function is called, which waits for one that is under way: it would take the lease anew. */
function renewEvery(ms: number, renew: () => Promise<void>): () => Promise<void> {
  let renewing: Promise<void> | undefined;
  const timer = setInterval(() => {
    // Behind one that hangs no others queue up.
    renewing ??= quietly(renew).finally(() => {
      renewing = undefined;
    });
  }, ms);
  return async () => {
    clearInterval(timer);
    await renewing;
  };
}

/** It runs out by itself; what went wrong before must not be hidden by this. */
async function quietly(work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof MachinesApiError)) throw error;
  }
}

const pollMs = 1_000;
/** Clocks are not quite alike. */
const marginMs = 5_000;
