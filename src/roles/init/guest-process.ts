import { closeSync } from "node:fs";
import { signalProcess } from "../../system/process.ts";
import { DescriptorWriter, openPipe } from "../../system/process-pipe.ts";
import { PreparedSpawn } from "../../system/process-spawn.ts";
import type { ChildReaper, ProcessEnd } from "../../system/reaper.ts";
import { ownExecutable, selfCommand } from "../../system/self.ts";
import { findAccount } from "./account.ts";
import type { GuestPlan } from "./guest-entry.ts";
import { makeExpendable } from "./keeper-protection.ts";
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
  readonly ended: Promise<ProcessEnd>;
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
  const { readFd, writeFd } = openPipe();
  let pid: number;
  try {
    const argv = selfCommand("init", program, JSON.stringify(plan));
    pid = spawn(argv, [readFd, descriptor, 2, mountFd, rootFd]);
  } catch (error) {
    closeSync(writeFd);
    throw error;
  } finally {
    closeSync(readFd);
  }
  void tell(writeFd, early);
  makeExpendable(pid);
  let over = false;
  const ended = reaper.ended(pid).finally(() => {
    over = true;
  });
  return {
    ended,
    kill: () => {
      if (!over) signalProcess(pid, 9);
    },
  };
}

/** Mostly nothing, and then that. */
async function tell(fd: number, early: Uint8Array): Promise<void> {
  if (early.length === 0) {
    closeSync(fd);
    return;
  }
  const writer = new DescriptorWriter(fd);
  await writer.write(early);
  writer.close();
}

function spawn(argv: readonly string[], stdio: readonly number[]): number {
  const env = { BUN_JSC_forceRAMSize: String(initLimits.guestProcessHeapBytes) };
  const prepared = new PreparedSpawn({ path: ownExecutable, argv, env, stdio });
  try {
    return prepared.start();
  } finally {
    prepared.release();
  }
}
