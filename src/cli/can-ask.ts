import type { Context } from "./context.ts";

/** Whether there is a person to ask: at a terminal, and not told to leave them alone. */
export function canAsk({
  env,
  stdin,
  stderr,
  noInput,
}: Pick<Context, "env" | "stdin" | "stderr" | "noInput">): boolean {
  const told = [env["CI"], env["FLY_VAULT_NO_INPUT"]].some((value) => (value ?? "") !== "");
  return stdin.isTty && stderr.isTty && !told && noInput !== true;
}
