import type { ColourWish } from "./colour-wish.ts";
import type { Context, OutputStream } from "./context.ts";

export type Style = "dim" | "red" | "yellow" | "green";

/** `text` as it looks on this output. Nothing is said by a colour alone. */
export function styled(
  style: Style,
  text: string,
  output: "stdout" | "stderr",
  context: Pick<Context, "stdout" | "stderr" | "env" | "colour">,
): string {
  if (!usesColour(context[output], context.colour ?? "auto", context.env)) return text;
  const [on, off] = codes[style];
  return `\u001b[${on}m${text}\u001b[${off}m`;
}

/** The word, then what forces it, then what forbids it, then whether anybody is there to see it. */
export function usesColour(
  output: Pick<OutputStream, "isTty">,
  wish: ColourWish,
  env: Context["env"],
): boolean {
  if (wish !== "auto") return wish === "always";
  const force = env["FORCE_COLOR"] ?? "";
  if (force !== "") return force !== "0" && force !== "false";
  if (!unset.has(env["CLICOLOR_FORCE"] ?? "")) return true;
  if ((env["NO_COLOR"] ?? "") !== "" || env["CLICOLOR"] === "0") return false;
  return output.isTty && env["TERM"] !== "dumb";
}

const unset: ReadonlySet<string> = new Set(["", "0"]);
const codes: Readonly<Record<Style, readonly [number, number]>> = {
  dim: [2, 22],
  red: [31, 39],
  yellow: [33, 39],
  green: [32, 39],
};
