import { printable } from "./printable.ts";
import type { CheckReport, CheckStatus } from "./check.ts";

/** A line a check, and below it what to do. */
export function renderCheck(report: CheckReport, isUtf8: boolean): string {
  const { status, title, detail, durationMs, fix, more = [] } = report;
  const symbol = (isUtf8 ? symbols : words)[status];
  const time = durationMs < 1_000 ? `${durationMs} ms` : `${(durationMs / 1_000).toFixed(1)} s`;
  const indent = " ".repeat(symbol.length + 1);
  const lines = [
    `${symbol} ${title}: ${detail} (${time})`,
    ...more.map((line) => `${indent}${line}`),
    ...(fix === undefined ? [] : [`${indent}fix: ${fix}`]),
  ];
  return lines.map((line) => `${printable(line)}\n`).join("");
}

/** One line of JSON. */
export function checkJson(report: CheckReport): string {
  const { name, status, detail, durationMs, fix, more } = report;
  return `${JSON.stringify({
    type: "check",
    name,
    status,
    detail,
    fix: fix ?? null,
    more: more ?? [],
    duration_ms: durationMs,
  })}\n`;
}

/** The last line. */
export function resultJson(reports: readonly CheckReport[], schema: string): string {
  const count = (status: CheckStatus): number =>
    reports.filter((report) => report.status === status).length;
  const result = {
    type: "result",
    schema: `fly-vault/${schema}`,
    version: 1,
    ok: count("failed") === 0,
    checks: reports.length,
    failed: count("failed"),
    warnings: count("warning"),
  };
  return `${JSON.stringify(result)}\n`;
}

/** Whether this locale can show more than ASCII. */
export function isUtf8Locale(env: Readonly<Record<string, string | undefined>>): boolean {
  const locale = [env["LC_ALL"], env["LC_CTYPE"], env["LANG"]].find((each) => (each ?? "") !== "");
  return /utf-?8/iu.test(locale ?? "");
}

const symbols = { ok: "✓", warning: "!", failed: "✗", skipped: "-" } as const;
const words = { ok: "ok  ", warning: "warn", failed: "FAIL", skipped: "skip" } as const;
