import type { CallLog } from "./call-log.ts";
import type { Faults } from "./faults.ts";
import { type Route, route } from "./router.ts";

/** Ours alone, outside Fly's `/v1`: to make calls fail, and to see which came. */
export function faultRoutes(faults: Faults, calls: CallLog): Route[] {
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
    route("GET", "/local/v1/calls", "none", () => ({ status: 200, json: calls.rows })),
    route("DELETE", "/local/v1/calls", "none", () => {
      calls.clear();
      return { status: 200, json: [] };
    }),
  ];
}
