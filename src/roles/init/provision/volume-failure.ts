import { RemoteError } from "../../../protocol/errors.ts";
import { refusalReport } from "./refusal-report.ts";

/** A step on the volume: what the disk refuses becomes the error that a person gets. */
export async function onVolume<Value>(step: () => Value | Promise<Value>): Promise<Value> {
  try {
    return await step();
  } catch (error) {
    throw volumeFailure(error);
  }
}

export function volumeFailure(error: unknown): RemoteError {
  if (error instanceof RemoteError) return error;
  const { code, message, hint } = refusalReport(error);
  return new RemoteError(code, message, hint);
}
