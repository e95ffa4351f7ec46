import type { JsonOutputs } from "../../cli/json-outputs.ts";
import { diagnoseOutputs } from "./diagnose/diagnose-json.ts";
import { copyOutputs } from "./files/cp-json.ts";
import { forwardOutputs } from "./forward/forward-json.ts";
import { provisionOutputs } from "./provision/provision-json.ts";
import { sessionOutputs } from "./session/session-json.ts";
import { linkOutputs } from "./shared-link/link-json.ts";
import { updateOutputs } from "./update/update-json.ts";
import { vaultOutputs } from "./vault/vault-json.ts";

/** Everything that the client prints with `--json`, for `help json NAME`. */
export const jsonOutputs: JsonOutputs = {
  ...vaultOutputs,
  ...sessionOutputs,
  ...copyOutputs,
  ...provisionOutputs,
  ...forwardOutputs,
  ...linkOutputs,
  ...diagnoseOutputs,
  ...updateOutputs,
};
