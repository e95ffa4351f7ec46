import { counted } from "../../cli/counted.ts";
import { formatDuration } from "../../cli/duration.ts";
import { printable } from "../../cli/printable.ts";
import type { SessionCensus } from "./machine-report.ts";
import { rolloutLimits } from "./rollout-limits.ts";
import type { RolloutPlan } from "./rollout-plan.ts";
import type { PlanRecord } from "./rollout-record.ts";

/** What is known of the way before it is gone. */
export interface PlanOutlook {
  readonly app: string;
  readonly plan: RolloutPlan;
  readonly options: PlanRecord["options"];
  /** Why init is not asked; undefined where it is. */
  readonly noHandshake: string | undefined;
  readonly sessions: SessionCensus;
}

/** For people: `38 machines, 31 tenants · canary 2: … · 6 already on this image, skipped`. */
export function planText(outlook: PlanOutlook): string {
  const { app, plan, options, noHandshake } = outlook;
  const canaries = plan.targets.slice(0, plan.canaries);
  const facts = [
    `${counted(plan.targets.length, "machine")}, ${counted(plan.tenants, "tenant")}`,
    ...(canaries.length === 0
      ? ["no canary"]
      : [`canary ${canaries.length}: ${canaries.map(canaryWords).join(", ")}`]),
    ...some(plan.skipped, "already on this image, skipped"),
    ...some(plan.stopped, "stopped, will be left stopped"),
    ...some(plan.suspended, "of those suspended, will forget what they were suspended with"),
    ...some(plan.silent, "left out, their hosts do not answer"),
    ...some(plan.unfinished, `unfinished, left alone (${plan.unfinished.join(", ")})`),
  ];
  const { concurrency, unavailableMax, soakMs } = options;
  const handshake =
    noHandshake === undefined
      ? "handshake with init, "
      : `no handshake with init (${noHandshake}), `;
  return (
    `app ${app}\nimage ${plan.image}\n${facts.join(" · ")}\n` +
    `then ${Math.min(concurrency, unavailableMax)} at a time; each: checks, ${handshake}` +
    `${soakMs / 1_000} s of soak\n${blindText(outlook)}${sessionsText(outlook)}`
  );
}

/** Without checks and without a handshake an image that starts and serves nobody would pass. */
function blindText({ plan: { unchecked }, noHandshake }: PlanOutlook): string {
  if (unchecked.length === 0 || noHandshake === undefined) return "";
  return `without health checks, so only watched whether started: ${counted(unchecked.length, "machine")}\n`;
}

function sessionsText({ sessions: { open, unknown }, options: { drainMs } }: PlanOutlook): string {
  const busy = [...open].map(([id, count]) => `${id} (${count})`);
  const [unasked] = unknown;
  const fate =
    drainMs === 0 ? "the update ends them" : `waited for, ${formatDuration(drainMs)} at most`;
  const lines = [
    ...(open.size === 0
      ? []
      : [`open sessions on ${counted(open.size, "machine")}, ${fate}: ${shortened(busy)}`]),
    ...(unasked === undefined
      ? []
      : [
          `${counted(unknown.size, "machine")} did not say what is open there` +
            `${drainMs === 0 ? "" : ", not waited for"}: ${unasked[0]}: ${unasked[1]}`,
        ]),
  ];
  return lines.map((line) => `${printable(line)}\n`).join("");
}

function shortened(words: readonly string[]): string {
  const { tableRowsMax } = rolloutLimits;
  const more = words.length > tableRowsMax ? `, and ${words.length - tableRowsMax} more` : "";
  return words.slice(0, tableRowsMax).join(", ") + more;
}

export function planJson({
  app,
  plan,
  options,
  noHandshake,
  sessions,
}: PlanOutlook): Record<string, unknown> {
  return {
    type: "plan",
    app,
    image: plan.image,
    machines: plan.targets.map((target, at) => ({
      machine_id: target.id,
      tenant_id: target.tenant,
      region: target.region === "" ? null : target.region,
      canary: at < plan.canaries,
      stopped: plan.stopped.includes(target.id),
    })),
    skipped: plan.skipped,
    left_out: plan.silent,
    unfinished: plan.unfinished,
    concurrency: options.concurrency,
    unavailable_max: options.unavailableMax,
    soak_ms: options.soakMs,
    start_timeout_ms: options.startMs,
    health_timeout_ms: options.healthMs,
    handshake: options.handshake,
    no_handshake_because: noHandshake ?? null,
    unchecked: plan.unchecked,
    drain_ms: options.drainMs,
    open_sessions: [...sessions.open].map(([id, count]) => ({ machine_id: id, sessions: count })),
    sessions_unknown: [...sessions.unknown].map(([id, because]) => ({ machine_id: id, because })),
  };
}

export function resumeCommand({ id, app }: Pick<PlanRecord, "id" | "app">): string {
  return `fly-vault-admin tenant update-image --resume ${id} --app ${app}`;
}

function canaryWords({ id, tenant, region }: RolloutPlan["targets"][number]): string {
  return `${id} (${[tenant, region].filter((word) => word !== "").join(", ")})`;
}

function some(ids: readonly string[], words: string): string[] {
  return ids.length === 0 ? [] : [`${ids.length} ${words}`];
}
