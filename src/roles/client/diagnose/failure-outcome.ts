import type { CheckOutcome } from "../../../cli/check.ts";
import { Failure } from "../../../cli/failure.ts";

/** Runs a step of a check-up; a `Failure` is what it found, with the same words and the same fix. */
export async function outcomeOf(
  run: () => Promise<CheckOutcome>,
  fallbackFix: string,
): Promise<CheckOutcome> {
  try {
    return await run();
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    const { code, message, because, fix = fallbackFix } = error;
    const words = because === undefined ? message : `${message}: ${because}`;
    return { status: "failed", detail: `${words} (${code})`, fix };
  }
}
