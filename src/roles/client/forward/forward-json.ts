import * as v from "valibot";
import { documentSchema, jsonCount, type JsonOutputs } from "../../../cli/json-outputs.ts";
import { forwardSchema } from "./control-message.ts";

const { line: _, ...shown } = forwardSchema.entries;

/** What the commands about running forwards print with `--json`. */
export const forwardOutputs: JsonOutputs = {
  "forward-list": {
    from: ["forward ls"],
    kind: "document",
    schema: documentSchema(
      "forward-list",
      v.array(v.object({ vault: v.string(), ...shown, pid: jsonCount, command: v.string() })),
    ),
  },
  ports: {
    from: ["ports"],
    kind: "document",
    schema: documentSchema(
      "ports",
      v.array(
        v.object({
          port: jsonCount,
          host: v.string(),
          process: v.string(),
          pid: v.nullable(jsonCount),
        }),
      ),
    ),
  },
};
