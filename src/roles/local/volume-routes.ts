import * as v from "valibot";
import type { Fleet } from "./fleet.ts";
import { cursorHeader, pageOf } from "./paging.ts";
import { param, parseBody } from "./request-input.ts";
import { type Route, route } from "./router.ts";
import { volumeView } from "./machine-view.ts";

const volumes = "/v1/apps/{app}/volumes";

const createRequest = v.looseObject({
  name: v.pipe(v.string(), v.regex(/^[a-z0-9_]{1,30}$/u, "only a-z, 0-9 and _, at most 30")),
  region: v.optional(v.nullable(v.pipe(v.string(), v.regex(/^[a-z]{3}$/u, "no such region")))),
  size_gb: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(500))),
  encrypted: v.optional(v.boolean()),
  snapshot_retention: v.optional(v.pipe(v.number(), v.minValue(1), v.maxValue(60))),
});

export function volumeRoutes(fleet: Fleet, options: { readonly region: string }): Route[] {
  return [
    route("GET", volumes, "action", (call) => {
      const app = fleet.app(param(call, "app"));
      const page = pageOf(call, fleet.volumesOf(app.name), fleet.nowMs);
      return { status: 200, json: page.rows.map(volumeView), headers: cursorHeader(page) };
    }),
    route("POST", volumes, "action", (call) => {
      const app = fleet.app(param(call, "app"));
      const asked = parseBody(createRequest, call.body);
      const volume = fleet.createVolume({
        app: app.name,
        name: asked.name,
        region: asked.region ?? options.region,
        sizeGb: asked.size_gb ?? 3,
        encrypted: asked.encrypted ?? true,
        snapshotRetention: asked.snapshot_retention ?? 5,
      });
      return { status: 200, json: volumeView(volume) };
    }),
    route("GET", `${volumes}/{volume}`, "read", (call) => {
      const volume = fleet.volume(param(call, "app"), param(call, "volume"));
      return { status: 200, json: volumeView(volume) };
    }),
    route("DELETE", `${volumes}/{volume}`, "action", async (call) => {
      const volume = fleet.volume(param(call, "app"), param(call, "volume"));
      await fleet.destroyVolume(volume);
      return { status: 200, json: volumeView(volume) };
    }),
  ];
}
