import * as v from "valibot";
import { MachinesApiError } from "./api-error.ts";
import type { ApiAnswer } from "./api-transport.ts";

/** For what is done when there is nothing any more. */
export async function ignoreNotFound(work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof MachinesApiError) || error.kind !== "not-found") throw error;
  }
}

/** The answer in the shape we rely on, or a `MachinesApiError` that names the member. */
export function parseAnswer<S extends v.GenericSchema>(
  shape: S,
  answer: ApiAnswer,
  action: string,
): v.InferOutput<S> {
  const result = v.safeParse(shape, answer.json);
  if (result.success) return result.output;
  const [issue] = result.issues;
  throw new MachinesApiError(
    "malformed",
    `unexpected answer at ${v.getDotPath(issue) ?? "its top"}: ${issue.message}`,
    {
      action,
      status: answer.status,
      requestId: answer.headers.get("fly-request-id") ?? undefined,
    },
  );
}
