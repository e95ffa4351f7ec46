import { join } from "node:path";
import * as v from "valibot";

/** What the keeper tells the process that speaks SSH. */
export const sshPlanSchema = v.object({
  keeperPid: v.number(),
  keeperSocket: v.string(),
  sshSocket: v.string(),
  hostKey: v.string(),
  logLevel: v.picklist(["debug", "info", "warn", "error"]),
});
export type SshPlan = v.InferOutput<typeof sshPlanSchema>;

/** In the private folder for sockets. */
export function sshSocketIn(runDir: string): string {
  return join(runDir, "ssh.sock");
}
