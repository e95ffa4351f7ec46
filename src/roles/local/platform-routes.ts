import * as v from "valibot";

import type { Fleet } from "./fleet.ts";
import { parseBody } from "./request-input.ts";
import { regions, regionsNamed } from "./regions.ts";
import { ok, type Route, route } from "./router.ts";

const placementRequest = v.looseObject({
  org_slug: v.string(),
  region: v.optional(v.nullable(v.string())),
  count: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0))),
});

/** Where there are regions and room, and whose token it is. */
export function platformRoutes(
  fleet: Fleet,
  options: {
    readonly region: string;
    readonly org: { readonly slug: string; readonly id: number };
  },
): Route[] {
  const nearest = options.region;
  return [
    route("GET", "/v1/platform/regions", "action", () => {
      // In the letters that the live service uses, which are not those of its description.
      return ok({ Regions: regions.map(regionView), Nearest: nearest });
    }),
    route("POST", "/v1/platform/placements", "action", (call) => {
      const asked = parseBody(placementRequest, call.body);
      const named = regionsNamed(asked.region ?? "any", nearest);
      return ok({ regions: placements(named, asked.count ?? 0, fleet) });
    }),
    route("GET", "/v1/tokens/current", "action", () => {
      const { slug } = options.org;
      const token = { token_id: "local", org_slug: slug, organization: slug, apps: [] };
      return ok({ tokens: [{ ...token, restricted_to_machine: "", source_machine_id: "" }] });
    }),
  ];
}

function regionView(region: (typeof regions)[number]): Record<string, unknown> {
  const { geo, ...rest } = region;
  const flags = { deprecated: false, gateway_available: true, requires_paid_plan: false };
  return { ...rest, geo_region: geo, ...flags, mpg_available: false };
}

/** As many as fit, region after region in the order asked for; `count` 0 tells how many would fit. */
function placements(
  named: readonly string[],
  count: number,
  fleet: Fleet,
): { region: string; count: number; concurrency: number }[] {
  const found: { region: string; count: number; concurrency: number }[] = [];
  let left = count;
  for (const region of named) {
    const room = Math.min(fleet.roomIn(region), unlimited);
    const taken = count === 0 ? room : Math.min(room, left);
    left -= taken;
    if (taken > 0) found.push({ region, count: taken, concurrency: taken });
    if (count > 0 && left === 0) break;
  }
  return found;
}

/** What is told of a region without a bound. */
const unlimited = 1_000;
