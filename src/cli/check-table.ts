import type { CheckReport, CheckStatus } from "./check.ts";
import { jsonResult } from "./json-document.ts";
import { printable } from "./printable.ts";

/** A line a check, and below it what to do. `mark` begins the first; the others begin below its words. */
export function renderCheck(report: CheckReport, mark: (status: CheckStatus) => string): string {
  const { status, title, detail, durationMs, fix, more = [] } = report;
  const symbol = mark(status);
  const time = durationMs < 1_000 ? `${durationMs} ms` : `${(durationMs / 1_000).toFixed(1)} s`;
  const indent = " ".repeat(Bun.stringWidth(symbol) + 1);
  const [first, ...others] = [
    `${title}: ${detail} (${time})`,
    ...more.map((line) => `${indent}${line}`),
    ...(fix === undefined ? [] : [`${indent}fix: ${fix}`]),
  ];
  return [`${symbol} ${printable(first)}`, ...others.map(printable)].join("\n").concat("\n");
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
  return jsonResult(schema, {
    ok: count("failed") === 0,
    checks: reports.length,
    failed: count("failed"),
    warnings: count("warning"),
  });
}
