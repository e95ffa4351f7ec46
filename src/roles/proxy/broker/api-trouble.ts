import { MachinesApiError } from "../../../fly/api-error.ts";
import type { LogFields } from "../../../system/log.ts";

/** What the log says of a call that failed. */
export function apiTrouble(error: unknown): LogFields {
  if (!(error instanceof MachinesApiError))
    return { because: error instanceof Error ? error.message : String(error) };
  return {
    action: error.action,
    kind: error.kind,
    status: error.status,
    request_id: error.requestId,
    because: error.message,
  };
}
