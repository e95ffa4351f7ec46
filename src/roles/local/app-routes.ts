import * as v from "valibot";
import { ApiError } from "./api-error.ts";
import type { Fleet } from "./fleet.ts";
import { pageOf } from "./paging.ts";
import { param, parseBody } from "./request-input.ts";
import type { AppRecord } from "./record.ts";
import { type Route, route } from "./router.ts";

const createRequest = v.looseObject({
  name: v.string(),
  org_slug: v.string(),
  network: v.optional(v.string()),
});

export function appRoutes(
  fleet: Fleet,
  org: { readonly slug: string; readonly id: number },
): Route[] {
  const view = (app: AppRecord): Record<string, unknown> => ({
    id: app.name,
    name: app.name,
    internal_numeric_id: app.id,
    machine_count: fleet.machinesOf(app.name).filter((each) => each.record.state !== "destroyed")
      .length,
    volume_count: fleet.volumes.of(app.name).filter((each) => each.state === "created").length,
    network: app.network,
    status: "deployed",
    organization: { name: org.slug, slug: org.slug, internal_numeric_id: org.id },
  });
  const checkOrg = (slug: string | null): void => {
    if (slug !== org.slug && slug !== "personal") {
      throw new ApiError(404, `organization ${slug ?? ""} not found`);
    }
  };
  return [
    route("GET", "/v1/apps", "action", (call) => {
      checkOrg(call.query.get("org_slug"));
      const rows = fleet.apps.map((app) => ({ id: app.name, createdAtMs: app.createdAtMs, app }));
      const page = pageOf(call, rows, fleet.nowMs);
      const apps = page.rows.map(({ app }) => view(app));
      const next = page.next === undefined ? {} : { next_cursor: page.next };
      return { status: 200, json: { apps, total_apps: rows.length, ...next } };
    }),
    route("POST", "/v1/apps", "action", (call) => {
      const asked = parseBody(createRequest, call.body);
      checkOrg(asked.org_slug);
      const app = fleet.createApp(asked.name, asked.network ?? "default");
      return { status: 201, json: { id: app.name, created_at: Math.floor(app.createdAtMs) } };
    }),
    route("DELETE", "/v1/apps/{app}", "action", async (call) => {
      await fleet.destroyApp(fleet.existingApp(param(call, "app")).name);
      return { status: 202 };
    }),
    route("GET", "/v1/apps/{app}", "action", (call) => ({
      status: 200,
      json: view(fleet.existingApp(param(call, "app"))),
    })),
  ];
}
