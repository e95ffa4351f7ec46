import type { ApiRequest } from "./api-transport.ts";
import type { LeaseOptions } from "./machine-wish.ts";

/** The calls about the lease of one machine; `path` is the machine's. */
export interface LeasedMachine {
  readonly id: string;
  readonly path: string;
}

export function takeLeaseRequest(
  { id, path }: LeasedMachine,
  seconds: number,
  { leaseNonce, description }: LeaseOptions,
): ApiRequest {
  return {
    method: "POST",
    path: `${path}/lease`,
    body: { ttl: seconds, ...(description === undefined ? {} : { description }) },
    action: leaseNonce === undefined ? "lease machine" : "renew lease",
    id,
    repeatable: false,
    leaseNonce,
  };
}

export function readLeaseRequest({ id, path }: LeasedMachine): ApiRequest {
  return { method: "GET", path: `${path}/lease`, action: "read lease", id, repeatable: true };
}

export function releaseLeaseRequest({ id, path }: LeasedMachine, leaseNonce: string): ApiRequest {
  return {
    method: "DELETE",
    path: `${path}/lease`,
    action: "release lease",
    id,
    repeatable: true,
    leaseNonce,
  };
}
