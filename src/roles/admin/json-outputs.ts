import type { JsonOutputs } from "../../cli/json-outputs.ts";
import { fleetOutputs } from "./fleet-json.ts";
import { rolloutOutputs } from "./rollout-json.ts";
import { tenantOutputs } from "./tenant-json.ts";
import { usageOutputs } from "./usage-json.ts";

/** Everything that fly-vault-admin prints with `--json`, for `help json NAME`. */
export const jsonOutputs: JsonOutputs = {
  ...tenantOutputs,
  ...rolloutOutputs,
  ...usageOutputs,
  ...fleetOutputs,
};
