import { MachinesApiError } from "../../fly/api-error.ts";
import type { MachinesApi } from "../../fly/machines-api.ts";

/** A volume stays attached for a moment after its machine has gone. */
export async function deleteVolumeWhenFree(api: MachinesApi, id: string): Promise<void> {
  for (const pauseMs of [500, 1_000, 2_000, 4_000, 8_000]) {
    try {
      await api.deleteVolume(id);
      return;
    } catch (error) {
      if (!(error instanceof MachinesApiError) || error.kind !== "conflict") throw error;
      await api.pause(pauseMs);
    }
  }
  await api.deleteVolume(id);
}
