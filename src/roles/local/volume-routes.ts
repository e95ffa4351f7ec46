import * as v from "valibot";
import { ApiError } from "./api-error.ts";
import type { Fleet } from "./fleet.ts";
import { cursorHeader, pageOf } from "./paging.ts";
import { param, parseBody } from "./request-input.ts";
import { regionsNamed } from "./regions.ts";
import type { VolumeRecord } from "./record.ts";
import { type ApiCall, type Route, route } from "./router.ts";
import { volumeView } from "./machine-view.ts";

const volumes = "/v1/apps/{app}/volumes";

const gigabytes = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(500));
const retention = v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(60)));

const updateRequest = v.looseObject({
  snapshot_retention: retention,
  auto_backup_enabled: v.optional(v.boolean()),
});

const createRequest = v.looseObject({
  name: v.pipe(v.string(), v.regex(/^[a-z0-9_]{1,30}$/u, "only a-z, 0-9 and _, at most 30")),
  region: v.optional(v.nullable(v.string())),
  size_gb: v.optional(gigabytes),
  encrypted: v.optional(v.boolean()),
  snapshot_retention: retention,
  auto_backup_enabled: v.optional(v.boolean()),
  /** What is to run beside it: a host is then looked for that has room for both. */
  compute: v.optional(v.looseObject({})),
});

export function volumeRoutes(fleet: Fleet, options: { readonly region: string }): Route[] {
  return [
    route("GET", volumes, "action", (call) => {
      const app = fleet.app(param(call, "app"));
      const page = pageOf(call, fleet.volumes.seen(app.name, call.reader), fleet.nowMs);
      return { status: 200, json: page.rows.map(volumeView), headers: cursorHeader(page) };
    }),
    route("POST", volumes, "action", (call) => {
      const app = fleet.app(param(call, "app"));
      const asked = parseBody(createRequest, call.body);
      const volume = fleet.volumes.create({
        app: app.name,
        name: asked.name,
        region: placeFor(asked, fleet, options.region),
        sizeGb: asked.size_gb ?? 3,
        encrypted: asked.encrypted ?? true,
        snapshotRetention: asked.snapshot_retention ?? 5,
        autoBackup: asked.auto_backup_enabled ?? true,
      });
      return { status: 200, json: volumeView(volume) };
    }),
    route("GET", `${volumes}/{volume}`, "action", (call) => {
      const volume = fleet.volumes.seenOne(namedVolume(fleet, call), call.reader);
      return { status: 200, json: volumeView(volume) };
    }),
    route("PUT", `${volumes}/{volume}`, "action", (call) => {
      const volume = namedVolume(fleet, call);
      const asked = parseBody(updateRequest, call.body);
      fleet.volumes.change(volume, {
        snapshotRetention: asked.snapshot_retention ?? volume.snapshotRetention,
        autoBackup: asked.auto_backup_enabled ?? volume.autoBackup ?? true,
      });
      return { status: 200, json: volumeView(volume) };
    }),
    route("PUT", `${volumes}/{volume}/extend`, "action", (call) => {
      const volume = namedVolume(fleet, call);
      const { size_gb: sizeGb } = parseBody(v.looseObject({ size_gb: gigabytes }), call.body);
      if (sizeGb < volume.sizeGb)
        throw new ApiError(422, `volume can only grow: it has ${volume.sizeGb} GB`);
      fleet.volumes.change(volume, { sizeGb });
      const json = { volume: volumeView(volume), needs_restart: volume.machineId !== undefined };
      return { status: 200, json };
    }),
    route("DELETE", `${volumes}/{volume}`, "action", async (call) => {
      const volume = namedVolume(fleet, call);
      await fleet.volumes.destroy(volume);
      return { status: 200, json: volumeView(volume) };
    }),
  ];
}

function namedVolume(fleet: Fleet, call: ApiCall): VolumeRecord {
  return fleet.volumes.find(param(call, "app"), param(call, "volume"));
}

/** A volume alone fits anywhere; one that comes with a machine needs room for it. */
function placeFor(
  asked: v.InferOutput<typeof createRequest>,
  fleet: Fleet,
  ownRegion: string,
): string {
  const named = regionsNamed(asked.region, ownRegion);
  const found = named.find((region) => asked.compute === undefined || fleet.roomIn(region) > 0);
  if (found !== undefined) return found;
  throw new ApiError(
    412,
    `volume placement: not enough capacity in ${named.join(", ")}`,
    "volume_placement_capacity",
  );
}
