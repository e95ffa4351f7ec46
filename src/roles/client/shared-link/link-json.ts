import * as v from "valibot";
import {
  documentSchema,
  jsonCount,
  type JsonOutputs,
  jsonTime,
} from "../../../cli/json-outputs.ts";
import { linkDescriptionSchema } from "./link-message.ts";

const { age_ms: _, ...described } = linkDescriptionSchema.entries;

/** What the commands about background links print with `--json`. */
export const linkOutputs: JsonOutputs = {
  "link-list": {
    from: ["link ls"],
    kind: "document",
    schema: documentSchema("link-list", v.array(v.object({ ...described, since: jsonTime }))),
  },
  "link-stop": {
    from: ["link stop"],
    kind: "document",
    schema: documentSchema(
      "link-stop",
      v.array(v.object({ vault: v.string(), pid: jsonCount, stopped: v.boolean() })),
    ),
  },
};
