import { guestView, textOf, stringMap } from "./machine-config.ts";
import { timeOf, volumeView } from "./machine-view.ts";
import type { MachineRecord, VolumeRecord } from "./record.ts";

/** A machine as the organisation's list shows it: without secrets, with its app. */
export function orgMachineView(record: MachineRecord, summary: boolean): Record<string, unknown> {
  const view = {
    id: record.id,
    app_name: record.app,
    name: record.name,
    state: record.state,
    region: record.region,
    version: record.version,
    private_ip: record.address,
    created_at: timeOf(record.createdAtMs),
    updated_at: timeOf(record.updatedAtMs),
  };
  if (summary) return view;
  const { config } = record;
  return {
    ...view,
    config: {
      image: textOf(config["image"]) ?? "",
      guest: guestView(config),
      metadata: stringMap(config["metadata"]),
    },
  };
}

export function orgVolumeView(record: VolumeRecord): Record<string, unknown> {
  return {
    ...volumeView(record),
    app_name: record.app,
    updated_at: timeOf(record.updatedAtMs ?? record.createdAtMs),
  };
}
