import type { Context, OutputStream } from "./context.ts";

/** Words that are less important than the rest, where the terminal can show that. */
export function dim(
  text: string,
  output: Pick<OutputStream, "isTty">,
  env: Context["env"],
): string {
  const told = (env["NO_COLOR"] ?? "") !== "" || env["CLICOLOR"] === "0" || env["TERM"] === "dumb";
  return output.isTty && !told ? `\u001b[2m${text}\u001b[22m` : text;
}
