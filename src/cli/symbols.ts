import type { CheckStatus } from "./check.ts";
import { type Style, styled } from "./colour.ts";
import type { Context } from "./context.ts";

/** The mark of a check, where the locale can write it and else a word; `words` are of one width. */
export function mark(status: CheckStatus, env: Context["env"]): string {
  return (isUtf8Locale(env) ? symbols : words)[status];
}

export function colouredMark(
  status: CheckStatus,
  output: "stdout" | "stderr",
  context: Context,
): string {
  return styled(styles[status], mark(status, context.env), output, context);
}

/** Whether this locale can show more than ASCII. */
export function isUtf8Locale(env: Context["env"]): boolean {
  const locale = [env["LC_ALL"], env["LC_CTYPE"], env["LANG"]].find((each) => (each ?? "") !== "");
  return /utf-?8/iu.test(locale ?? "");
}

const symbols = { ok: "✓", warning: "!", failed: "✗", skipped: "-" } as const;
const words = { ok: "ok  ", warning: "warn", failed: "FAIL", skipped: "skip" } as const;
const styles: Readonly<Record<CheckStatus, Style>> = {
  ok: "green",
  warning: "yellow",
  failed: "red",
  skipped: "dim",
};
