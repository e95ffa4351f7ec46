import type { Failure } from "../../../cli/failure.ts";
import type { FailureCode } from "../../../cli/failure-codes.ts";

/** Whether dialling again can help. */
export function isTransient(failure: Failure): boolean {
  return transientCodes.has(failure.code);
}

const transientCodes: ReadonlySet<FailureCode> = new Set<FailureCode>([
  "FV-NET-001",
  "FV-NET-002",
  "FV-NET-003",
  "FV-NET-004",
  "FV-ATT-005",
  "FV-ATT-008",
  "FV-VM-002",
  "FV-VM-004",
]);
