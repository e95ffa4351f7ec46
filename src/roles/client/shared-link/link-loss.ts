import { Failure } from "../../../cli/failure.ts";
import { LoginFailure } from "../dial/login-failure.ts";
import { isTransient } from "../link/remote-failure.ts";

/** What dialling again may cure. */
export function mayRetry(error: unknown): error is Failure {
  if (error instanceof LoginFailure) return error.retryable;
  return error instanceof Failure && isTransient(error);
}

export function givenUp(vault: string, last: Failure | undefined, reconnectMs: number): Failure {
  const why = last?.because === undefined ? "" : `, ${last.because}`;
  return new Failure("FV-NET-003", `the link to "${vault}" was lost and did not come back`, {
    because: `tried for ${Math.round(reconnectMs / 1000)} s${
      last === undefined ? "" : `; last: ${last.message}${why}`
    }`,
    fix: "what runs there goes on; come back when the network does",
  });
}
