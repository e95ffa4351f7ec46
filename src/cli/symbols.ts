import type { Context } from "./context.ts";

/** Marks of a list of checks, where the locale can write them. */
export function symbols(env: Context["env"]): { readonly ok: string; readonly bad: string } {
  const locale = [env["LC_ALL"], env["LC_CTYPE"], env["LANG"]].find(
    (value) => (value ?? "") !== "",
  );
  return /utf-?8/i.test(locale ?? "") ? { ok: "✓", bad: "✗" } : { ok: "ok", bad: "FAIL" };
}
