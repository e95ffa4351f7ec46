import { writeSync } from "node:fs";
import * as v from "valibot";
import { hasCode } from "../../system/filesystem.ts";
import { dieWithParent, forbidInspection, keepCapabilities } from "../../system/process.ts";
import { becomeUser, stayRootAlone } from "../../system/process-credentials.ts";
import { moveIn } from "../../system/process-namespace.ts";
import { ClientStream } from "./client-stream.ts";

const id = v.pipe(v.number(), v.safeInteger(), v.minValue(0));

const guestPlanSchema = v.object({
  account: v.object({
    name: v.string(),
    uid: id,
    gid: id,
    groups: v.pipe(v.array(id), v.readonly()),
    home: v.string(),
    shell: v.string(),
  }),
});
/** What the keeper tells a process of ours that is to work among the guest's files. */
export type GuestPlan = v.InferOutput<typeof guestPlanSchema>;

/**
 * Moves this process into the guest for good, as the user of the plan. Its `/` is the guest's from
 * here on, so no name and no link in there leads outside; it has no network and no way back. That
 * holds for the thread that runs JavaScript: synchronous file system calls only, and nothing that is
 * loaded later. Bun's other threads stay outside, and lose all rights there. Started by `startGuestProcess`, with the guest's descriptors as 3 and 4.
 */
export function enterGuest(plan: string): GuestPlan {
  const parsed = v.parse(guestPlanSchema, JSON.parse(plan));
  const { account } = parsed;
  const keeperPid = process.ppid;
  moveIn({ mountFd: 3, rootFd: 4 });
  if (account.uid === 0) stayRootAlone(account, fileCapabilities);
  else {
    becomeUser(account);
    keepCapabilities([]);
  }
  forbidInspection();
  // After the change of user, which would undo it.
  if (!dieWithParent(keeperPid)) throw new Error("The keeper is gone");
  return parsed;
}

/** Owner, permissions and modes of any file: what root among files can do, and nothing else. */
const fileCapabilities = [0, 1, 3, 4];

/** What such a process is there for, `enterGuest` included. Gives its exit status. */
export function serveInGuest(work: (stream: ClientStream) => void): number {
  try {
    work(ClientStream.lent());
    return 0;
  } catch (error) {
    if (isGone(error)) return 0;
    // For init's log: the keeper's answer to the client is short.
    const detail = error instanceof Error ? (error.stack ?? error.message) : String(error);
    writeSync(2, `${JSON.stringify({ role: "guest-process", level: "error", detail })}\n`);
    return 1;
  }
}

/** Whoever asked has left. */
function isGone(error: unknown): boolean {
  return hasCode(error, "EPIPE") || hasCode(error, "ECONNRESET");
}
