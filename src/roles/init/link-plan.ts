import * as v from "valibot";

/** What the keeper tells its link on the command line. The login key comes on descriptor 3. */
export const linkPlanSchema = v.object({
  listen: v.optional(v.union([v.string(), v.undefined()])),
  keeperPid: v.number(),
  keeperSocket: v.string(),
  apiSocket: v.string(),
  runDir: v.string(),
  app: v.string(),
  machineId: v.string(),
  logLevel: v.picklist(["debug", "info", "warn", "error"]),
});
export type LinkPlan = v.InferOutput<typeof linkPlanSchema>;

export const linkKeyFd = 3;
