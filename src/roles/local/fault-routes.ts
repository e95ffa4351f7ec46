import type { CallLog } from "./call-log.ts";
import type { Faults } from "./faults.ts";
import type { Fleet } from "./fleet.ts";
import { param } from "./request-input.ts";
import { type Route, route } from "./router.ts";

/** Ours alone, outside Fly's `/v1`: to make calls fail and machines move, and to see which calls came. */
export function faultRoutes(faults: Faults, calls: CallLog, fleet: Fleet): Route[] {
  const path = "/local/v1/faults";
  const report = (): { status: number; json: unknown } => ({ status: 200, json: faults.report() });
  return [
    route("GET", path, "none", report),
    route("POST", path, "none", (call) => {
      faults.installUnknown(call.body);
      return report();
    }),
    route("DELETE", path, "none", () => {
      faults.clear();
      return report();
    }),
    route("POST", "/local/v1/apps/{app}/machines/{id}/migrate", "none", async (call) => {
      await fleet.migrateMachine(fleet.machine(param(call, "app"), param(call, "id")));
      return { status: 200, json: { ok: true } };
    }),
    route("GET", "/local/v1/calls", "none", () => ({ status: 200, json: calls.rows })),
    route("DELETE", "/local/v1/calls", "none", () => {
      calls.clear();
      return { status: 200, json: [] };
    }),
  ];
}
