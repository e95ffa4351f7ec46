import { ApiError } from "./api-error.ts";
import { type MachineConfig, mountsOf } from "./machine-config.ts";
import { fits } from "./mount-volumes.ts";
import type { VolumeRecord } from "./record.ts";

/** The first region with room; a volume ties its machine to where it lies. 412 or 422 when there is none. */
export function placeFor(
  asked: {
    /** In the order of preference. */
    readonly regions: readonly string[];
    readonly config: MachineConfig;
    readonly launch: boolean;
  },
  volumes: readonly VolumeRecord[],
  roomIn: (region: string) => number,
): string {
  const mounts = mountsOf(asked.config);
  const tied = asked.regions.filter((region) =>
    mounts.every((mount) => volumes.some((each) => fits(mount, region, each))),
  );
  // Without any, the first one says what is wrong with the volume.
  const regions = tied.length === 0 ? asked.regions.slice(0, 1) : tied;
  const found = regions.find((region) => !asked.launch || roomIn(region) > 0);
  if (found !== undefined) return found;
  if (mounts.length > 0)
    throw new ApiError(
      412,
      "insufficient resources to create new machine with existing volume",
      "volume_placement_capacity",
    );
  throw new ApiError(
    422,
    `insufficient resources available to fulfill request: not enough capacity in ${regions.join(", ")}`,
    "insufficient_capacity",
  );
}
