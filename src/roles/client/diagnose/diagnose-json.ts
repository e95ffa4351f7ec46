import * as v from "valibot";
import {
  checksSchema,
  documentSchema,
  jsonCount,
  type JsonOutputs,
  resultSchema,
} from "../../../cli/json-outputs.ts";
import { vaultStatusSchema } from "./status-json.ts";

const direction = v.object({
  bytes: jsonCount,
  ms: jsonCount,
  bytes_per_second: jsonCount,
  round_trip_ms: v.number(),
});

/** What the commands that look at a vault and the way to it print with `--json`. */
export const diagnoseOutputs: JsonOutputs = {
  status: { from: ["status"], kind: "document", schema: vaultStatusSchema },
  doctor: { from: ["doctor"], kind: "lines", schema: checksSchema("doctor") },
  netcheck: { from: ["netcheck"], kind: "lines", schema: checksSchema("netcheck") },
  ping: {
    from: ["ping"],
    kind: "lines",
    schema: v.variant("type", [
      v.object({ type: v.literal("pong"), ms: v.number(), network_ms: v.number() }),
      resultSchema("ping", {
        count: jsonCount,
        min_ms: v.number(),
        median_ms: v.number(),
        max_ms: v.number(),
        sent_packets: jsonCount,
        lost_packets: jsonCount,
      }),
    ]),
  },
  speedtest: {
    from: ["speedtest"],
    kind: "document",
    schema: documentSchema(
      "speedtest",
      v.object({
        idle_round_trip_ms: v.number(),
        down: direction,
        up: direction,
        sent_packets: jsonCount,
        lost_packets: jsonCount,
      }),
    ),
  },
};
