import {
  accessSync,
  constants,
  readFileSync,
  readlinkSync,
  readSync,
  realpathSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { basename } from "node:path";
import { decodeJson } from "../../protocol/message.ts";
import {
  closeOnExecute,
  dieWithParent,
  execute,
  makeBlocking,
  resetSignals,
  setHostname,
} from "../../system/process.ts";
import { leaveSharedNamespaces } from "../../system/process-namespace.ts";
import { type BootReport, goFd, reportFd, workloadPlanSchema } from "./workload-plan.ts";
import { assembleRoot } from "./workload-root.ts";

/**
 * `init workload PLAN`: started by the keeper as the first process of a PID namespace, makes the
 * other namespaces, builds the root and becomes the image's init. Synchronous throughout, since nothing else may happen here.
 */
export function bootWorkload(planJson: string): number {
  let step = "plan";
  try {
    const plan = decodeJson(workloadPlanSchema, new TextEncoder().encode(planJson), "Plan");
    step = "who am I";
    // Our number as the keeper sees it: the old /proc is still mounted.
    const pid = Number(readlinkSync("/proc/self"));
    // The whole workload goes down with the keeper, however that ends.
    dieWithParent();
    process.umask(0o022);
    allowOutOfMemoryKills();
    step = "mounts";
    // A copy: mounted, the outer file would be the workload's to write.
    const fallbackInit =
      plan.fallbackInit === undefined ? undefined : readFileSync(plan.fallbackInit);
    leaveSharedNamespaces();
    assembleRoot(plan);
    step = "hostname";
    setHostname(plan.hostname);
    report({ kind: "assembled", pid });
    step = "go";
    awaitGo();
    step = "execute";
    closeOnExecute(reportFd);
    resetSignals();
    for (const fd of [0, 1, 2]) makeBlocking(fd);
    becomeInit(fallbackInit);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    report({ kind: "failed", step, message });
    return 1;
  }
}

function becomeInit(fallbackInit: Uint8Array | undefined): never {
  if (isExecutable(systemInit)) {
    const program = realpathSync(systemInit);
    const isBusybox = basename(program) === "busybox";
    const stopSignal = stopSignalOf(program);
    report({ kind: "execute", runtime: "system-init", stopSignal, isBusybox });
    try {
      execute(systemInit, [systemInit], workloadEnvironment);
    } catch (error) {
      // A broken interpreter or the wrong architecture: a machine one can look into is better than none.
      if (fallbackInit === undefined) throw error;
    }
  }
  if (fallbackInit === undefined)
    throw new Error("The image has no /sbin/init, and there is no fallback");
  writeFileSync(fallbackInitPath, fallbackInit, { mode: 0o755 });
  const runtime = "fallback-init";
  report({ kind: "execute", runtime, stopSignal: terminate, isBusybox: false });
  execute(fallbackInitPath, ["catatonit", "-P"], workloadEnvironment);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

/** What the init of an image shuts down in order on: most do on SIGTERM, busybox and openrc-init among them. */
function stopSignalOf(program: string): number {
  if (program.endsWith("/systemd")) return haltSystemd;
  // Its own telinit is sysvinit alone. It is deaf to SIGTERM; Ctrl-Alt-Del its inittab answers.
  return isExecutable(telinit) && realpathSync(telinit) === program ? interrupt : terminate;
}

/** The keeper is spared by the kernel when memory runs out; what runs in here is not. */
function allowOutOfMemoryKills(): void {
  try {
    writeFileSync("/proc/self/oom_score_adj", "0");
  } catch {
    // Without the right to change it there was nothing to undo.
  }
}

/** The keeper opens our namespaces before the image's program could interfere. */
function awaitGo(): void {
  if (readSync(goFd, new Uint8Array(1)) === 0) throw new Error("The keeper is gone");
}

function report(line: BootReport): void {
  writeSync(reportFd, `${JSON.stringify(line)}\n`);
}

const systemInit = "/sbin/init";
const telinit = "/sbin/telinit";
const interrupt = 2;
const fallbackInitPath = "/run/fly-vault/init";
const terminate = 15;
/** SIGRTMIN+3, which systemd in a container takes as "halt". */
const haltSystemd = 37;

/** Nothing of ours: neither the token nor what Fly tells its machines. `container` is systemd's convention. */
const workloadEnvironment: Readonly<Record<string, string>> = {
  PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
  HOME: "/root",
  TERM: "linux",
  container: "fly-vault",
};
