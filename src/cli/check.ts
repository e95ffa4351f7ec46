/** What a check came to. `skipped` where there was nothing to look at. */
export type CheckStatus = "ok" | "warning" | "failed" | "skipped";

export interface CheckOutcome {
  readonly status: CheckStatus;
  /** What was seen, with numbers. */
  readonly detail: string;
  /** What to do about it. */
  readonly fix?: string;
  /** One line each, where there are several things. */
  readonly more?: readonly string[];
}

export interface Check {
  /** For programs: kebab-case, never given a second meaning. */
  readonly name: string;
  /** For people. */
  readonly title: string;
  /** Names of checks that must not have failed for this one to make sense. */
  readonly needs?: readonly string[];
  readonly run: () => Promise<CheckOutcome>;
}

export interface CheckReport extends CheckOutcome {
  readonly name: string;
  readonly title: string;
  readonly durationMs: number;
}

/** One after the other, each told as soon as it is done. */
export async function runChecks(
  checks: readonly Check[],
  nowMs: () => number,
  tell: (report: CheckReport) => Promise<void>,
): Promise<CheckReport[]> {
  const reports: CheckReport[] = [];
  const failed = new Set<string>();
  for (const { name, title, needs = [], run } of checks) {
    const startMs = nowMs();
    const missing = needs.find((need) => failed.has(need));
    const outcome: CheckOutcome =
      missing === undefined
        ? await run()
        : { status: "skipped", detail: "not looked at, because of what failed before" };
    if (outcome.status === "failed") failed.add(name);
    const durationMs = Math.round(nowMs() - startMs);
    const report = { ...outcome, name, title, durationMs };
    reports.push(report);
    await tell(report);
  }
  return reports;
}
