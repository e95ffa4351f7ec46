import { keptHeap } from "../../system/child-env.ts";
import { signalProcess } from "../../system/process.ts";
import { PreparedSpawn } from "../../system/process-spawn.ts";
import type { ChildReaper } from "../../system/reaper.ts";
import { ownExecutable, selfCommand } from "../../system/self.ts";
import { findAccount } from "./account.ts";
import type { GuestPlan } from "./guest-entry.ts";
import { makeExpendable } from "./keeper-protection.ts";
import { LendingNote } from "./lending-note.ts";
import { initLimits } from "./limits.ts";
import type { WorkloadProcess } from "./workload-process.ts";

/** Which of our programs is to work among the guest's files (`init PROGRAM`), and as whom. */
export interface GuestProgram {
  readonly program: string;
  /** By name or number, as the image's /etc/passwd has it. */
  readonly user: string;
}

/** The client's stream: a socket, and what was read from it before. */
export interface LentStream {
  readonly descriptor: number;
  readonly early: Uint8Array;
}

export interface GuestProcess {
  /** Whether the client has heard from it. */
  readonly ended: Promise<{ readonly hasSpoken: boolean }>;
  kill(): void;
}

/**
 * Starts our own program outside and lets it move into the guest (`enterGuest`): it needs libraries
 * that an image may not have, so it cannot be executed inside. It stays out of the guest's sight,
 * whose processes can neither signal nor inspect it. The client's bytes go to it and come from it without
 * us. Throws `RemoteError` when there is no such user.
 */
export function startGuestProcess(
  workload: WorkloadProcess,
  { program, user }: GuestProgram,
  { descriptor, early }: LentStream,
  reaper: ChildReaper,
): GuestProcess {
  const account = workload.namespaces.inside(() => findAccount(user));
  const plan: GuestPlan = { account };
  const { mountFd, rootFd } = workload.namespaces.door;
  const note = new LendingNote(early);
  let pid: number;
  try {
    const argv = selfCommand("init", program, JSON.stringify(plan));
    pid = spawn(argv, [note.fd, descriptor, 2, mountFd, rootFd]);
  } catch (error) {
    note.take();
    throw error;
  }
  makeExpendable(pid);
  let over = false;
  const ended = reaper.ended(pid).then(() => {
    over = true;
    return { hasSpoken: note.take() };
  });
  return {
    ended,
    kill: () => {
      if (!over) signalProcess(pid, 9);
    },
  };
}

function spawn(argv: readonly string[], stdio: readonly number[]): number {
  const env = {
    BUN_JSC_forceRAMSize: String(initLimits.guestProcessHeapBytes),
    ...keptHeap,
  };
  const prepared = new PreparedSpawn({ path: ownExecutable, argv, env, stdio });
  try {
    return prepared.start();
  } finally {
    prepared.release();
  }
}
