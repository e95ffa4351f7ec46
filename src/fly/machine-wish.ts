import type { ApiSchemas } from "./api-types.ts";

/** What callers ask of the Machines API, in the names of its description. */
export interface VolumeWish extends Required<
  Pick<ApiSchemas["CreateVolumeRequest"], "name" | "region" | "size_gb">
> {
  /** The size of the machine to come, so that Fly picks a host with room for both. */
  readonly compute?: unknown;
}

export interface MachineWish {
  readonly name?: string | undefined;
  readonly region?: string | undefined;
  readonly config: Readonly<Record<string, unknown>>;
  readonly [member: string]: unknown;
}

export interface MachineUpdate {
  readonly config: Readonly<Record<string, unknown>>;
  readonly current_version?: string | undefined;
  readonly skip_launch?: boolean;
}

export interface WantedState {
  readonly state: "started" | "stopped";
  readonly version?: string | undefined;
  /** States that end the waiting, because the wanted one will not come by itself. */
  readonly failures?: readonly string[];
}

/** Extras of a call that changes a machine. */
export interface ChangeOptions {
  readonly leaseNonce?: string;
}

export interface LeaseOptions extends ChangeOptions {
  /** For whoever finds the machine leased. */
  readonly description?: string;
}
