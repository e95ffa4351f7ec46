import { ApiError } from "./api-error.ts";
import type { Fleet } from "./fleet.ts";
import { localLimits } from "./limits.ts";
import { orgMachineView, orgVolumeView } from "./org-view.ts";
import { type Page, pageOf } from "./paging.ts";
import { param, queryFlag, queryList } from "./request-input.ts";
import { type ApiCall, ok, type Route, route } from "./router.ts";

/** The whole organisation's machines and volumes, for those who follow what changes. */
export function orgRoutes(fleet: Fleet, org: { readonly slug: string }): Route[] {
  return [
    route("GET", "/v1/orgs/{org}/machines", "action", (call) => {
      checkOrg(call, org.slug);
      const rows = fleet.apps
        .flatMap((app) => fleet.seenMachines(app.name, call.reader))
        .filter((record) => record.state !== "destroyed" || queryFlag(call, "include_deleted"));
      const page = changedSince(call, rows, fleet.nowMs);
      const summary = queryFlag(call, "summary");
      const { last, json } = listEnd(page);
      const machines = page.rows.map((row) => orgMachineView(row, summary));
      return ok({ machines, ...json, last_machine_id: last?.id ?? "", error_regions: [] });
    }),
    route("GET", "/v1/orgs/{org}/volumes", "action", (call) => {
      checkOrg(call, org.slug);
      const rows = fleet.apps
        .flatMap((app) => fleet.volumes.seen(app.name, call.reader))
        .filter((record) => record.state === "created" || queryFlag(call, "include_deleted"));
      const page = changedSince(call, rows, fleet.nowMs);
      const { last, json } = listEnd(page);
      return ok({ volumes: page.rows.map(orgVolumeView), ...json, last_volume_id: last?.id ?? "" });
    }),
  ];
}

interface Changing {
  readonly id: string;
  readonly state: string;
  readonly region: string;
  readonly createdAtMs: number;
  readonly updatedAtMs?: number | undefined;
}

/** Those of the asked states and regions that were changed since then, in the order of their creation. */
function changedSince<T extends Changing>(
  call: ApiCall,
  rows: readonly T[],
  nowMs: number,
): Page<T> {
  const text = call.query.get("updated_after");
  const afterMs = text === null ? 0 : Date.parse(text);
  if (Number.isNaN(afterMs))
    throw new ApiError(400, "invalid_argument: updated_after is no RFC 3339 time");
  const states = queryList(call, "state");
  const regions = queryList(call, "region");
  const wanted = rows.filter(
    (row) =>
      changedAtMs(row) > afterMs &&
      (states.length === 0 || states.includes(row.state)) &&
      (regions.length === 0 || regions.includes(row.region)),
  );
  return pageOf(call, wanted, nowMs, localLimits.pageMax);
}

/** Where to go on: with the next page, or later from the change that came last. */
function listEnd(page: Page<Changing>): {
  readonly last: Changing | undefined;
  readonly json: Record<string, unknown>;
} {
  const last = page.rows.toSorted((a, b) => changedAtMs(a) - changedAtMs(b)).at(-1);
  const changed = last === undefined ? "" : new Date(changedAtMs(last)).toISOString();
  return { last, json: { next_cursor: page.next ?? "", last_updated_at: changed } };
}

function changedAtMs(row: Changing): number {
  return row.updatedAtMs ?? row.createdAtMs;
}

function checkOrg(call: ApiCall, slug: string): void {
  const asked = param(call, "org");
  if (asked !== slug && asked !== "personal")
    throw new ApiError(404, `organization ${asked} not found`);
}
