import { Failure } from "../../../cli/failure.ts";
import { RemoteError, type RemoteErrorCode } from "../../../protocol/errors.ts";

export const mainShell = "main";

/** What brings somebody back to a shell of `connect`. */
export function wayBack(vault: string, shell: string): string {
  return shell === mainShell
    ? `fly-vault connect ${vault}`
    : `fly-vault connect ${vault} --session ${shell}`;
}

/** What went wrong with that shell, and the way back to it rather than to `main`. */
export async function withWayBack(error: unknown, vault: string, shell: string): Promise<unknown> {
  const { asFailure } = await import("../link/remote-failure.ts");
  const failure = asFailure(error, vault);
  if (!(failure instanceof Failure) || !(error instanceof RemoteError)) return failure;
  const fix = fixes[error.code]?.(wayBack(vault, shell));
  if (fix === undefined) return failure;
  const { because } = failure;
  return new Failure(failure.code, failure.message, {
    fix,
    ...(because === undefined ? {} : { because }),
  });
}

const fixes: Partial<Record<RemoteErrorCode, (back: string) => string>> = {
  "taken-over": (back) => `${back}  takes it back`,
  gone: (back) => `${back}  starts a new one`,
};
