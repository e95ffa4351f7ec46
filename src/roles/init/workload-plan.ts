import * as v from "valibot";

/** What the keeper tells the process that becomes PID 1. Holds no secret: it travels on the command line. */
export const workloadPlanSchema = v.object({
  rootfs: v.string(),
  /** Folders of the volume that stand in for folders of the rootfs. */
  persist: v.array(v.object({ source: v.string(), target: v.string() })),
  hostname: v.string(),
  /** Program for images without an init of their own; outside path, statically linked. */
  fallbackInit: v.optional(v.string()),
});
export type WorkloadPlan = v.InferOutput<typeof workloadPlanSchema>;

/** Numbers that kill(2) takes as they are: 0 and less are groups, or everybody. */
const processId = v.pipe(v.number(), v.safeInteger(), v.minValue(1));
const signal = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(64));

/**
 * Lines of JSON on descriptor 3 of that process, in order:
 * `assembled` (then it waits for a byte on descriptor 4), `execute`, and the end of the pipe, which
 * means that the program runs. `failed` instead of any of them.
 */
export const bootReportSchema = v.variant("kind", [
  /** Everything is mounted; `pid` as seen from outside. */
  v.object({ kind: v.literal("assembled"), pid: processId }),
  v.object({
    kind: v.literal("execute"),
    runtime: v.picklist(["system-init", "fallback-init"]),
    /** Number of the signal that asks this init to shut down. */
    stopSignal: signal,
    /** It sleeps at its end, for others: see `busybox-end.ts`. */
    isBusybox: v.boolean(),
  }),
  v.object({ kind: v.literal("failed"), step: v.string(), message: v.string() }),
]);
export type BootReport = v.InferOutput<typeof bootReportSchema>;

export const reportFd = 3;
export const goFd = 4;
