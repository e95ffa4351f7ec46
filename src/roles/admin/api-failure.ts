import { Failure } from "../../cli/failure.ts";
import type { FailureCode } from "../../cli/failure-codes.ts";
import { type ApiErrorKind, MachinesApiError } from "../../fly/api-error.ts";

/** Errors of the API that nobody handled, in words for people. */
export async function withApiFailures<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw error instanceof MachinesApiError ? apiFailure(error) : error;
  }
}

export function apiFailure(error: MachinesApiError): Failure {
  const { code, words, fix } = explanations[error.kind];
  const status = error.status === undefined ? [] : [`HTTP ${error.status}`];
  const request = error.requestId === undefined ? [] : [`request id ${error.requestId}`];
  const facts = [...status, ...request].join(", ");
  return new Failure(code, `could not ${error.action}: ${words}`, {
    because: facts === "" ? error.message : `${error.message} (${facts})`,
    ...(fix === undefined ? {} : { fix }),
  });
}

/** One line, for lists of several failures. */
export function apiErrorLine(error: unknown): string {
  if (!(error instanceof MachinesApiError)) {
    return error instanceof Error ? error.message : String(error);
  }
  const request = error.requestId === undefined ? "" : ` (request id ${error.requestId})`;
  return `could not ${error.action}: ${error.message}${request}`;
}

const explanations: Record<
  ApiErrorKind,
  { readonly code: FailureCode; readonly words: string; readonly fix?: string }
> = {
  unreachable: {
    code: "FV-API-001",
    words: "the Machines API could not be reached",
    fix: "check the network and --api-base",
  },
  lost: { code: "FV-API-004", words: "the Machines API did not answer in time" },
  unavailable: { code: "FV-API-004", words: "the Machines API has a fault of its own" },
  "rate-limited": {
    code: "FV-API-004",
    words: "the Machines API asks to slow down",
    fix: "wait a minute and try again",
  },
  unauthorised: {
    code: "FV-API-002",
    words: "the Machines API refused the token",
    fix: "check FLY_API_TOKEN, and that it may use this app",
  },
  "not-found": { code: "FV-API-003", words: "it is not there", fix: "check --app" },
  conflict: { code: "FV-API-005", words: "somebody or something else holds it" },
  "no-capacity": {
    code: "FV-API-003",
    words: "Fly has no room there",
    fix: "try another region in the template",
  },
  refused: { code: "FV-API-003", words: "the Machines API refused" },
  malformed: {
    code: "FV-API-003",
    words: "the answer was not what the Machines API promises",
    fix: "check --api-base",
  },
};
