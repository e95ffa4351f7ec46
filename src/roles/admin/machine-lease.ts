import { MachinesApiError } from "../../fly/api-error.ts";
import type { MachinesApi } from "../../fly/machines-api.ts";

/** Does something to a machine that nobody else may change meanwhile. */
export async function withLease<T>(
  api: MachinesApi,
  id: string,
  work: (leaseNonce: string) => Promise<T>,
): Promise<T> {
  const leaseNonce = await api.takeLease(id, leaseSeconds);
  try {
    return await work(leaseNonce);
  } finally {
    await releaseQuietly(api.uninterrupted(), id, leaseNonce);
  }
}

/** It runs out by itself; what went wrong before must not be hidden by this. */
async function releaseQuietly(api: MachinesApi, id: string, leaseNonce: string): Promise<void> {
  try {
    await api.releaseLease(id, leaseNonce);
  } catch (error) {
    if (!(error instanceof MachinesApiError)) throw error;
  }
}

/** Not to be started by an update. */
export const restingStates: ReadonlySet<string> = new Set([
  "created",
  "stopped",
  "stopping",
  "suspended",
  "suspending",
  "failed",
]);

/** Longer than any grace of a machine that an update stops. */
const leaseSeconds = 360;
