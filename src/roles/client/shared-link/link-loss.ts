import { Failure } from "../../../cli/failure.ts";
import { backoffMs } from "../dial/backoff.ts";
import { LoginFailure } from "../dial/login-failure.ts";
import { isTransient } from "../link/transient.ts";

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

/**
 * Between attempts at something over a link that stands, where the machine breaks off every stream: it
 * is waited for as long as a lost link. Rejects with a `Failure` when that is over.
 */
export async function pauseBetween(
  attempt: number,
  vault: string,
  reconnectMs = Number.POSITIVE_INFINITY,
): Promise<void> {
  const pausedMs = Array.from({ length: attempt + 1 }, (_, at) => backoffMs(at, 1));
  if (pausedMs.reduce((sum, ms) => sum + ms, 0) > reconnectMs)
    throw new Failure("FV-NET-003", `"${vault}" breaks off whatever is asked of it`, {
      because: `tried for ${Math.round(reconnectMs / 1000)} s over a link that stands`,
      fix: "look at the machine's log:  fly logs",
    });
  await Bun.sleep(backoffMs(attempt + 1, Math.random()));
}
