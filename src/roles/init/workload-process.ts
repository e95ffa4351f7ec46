import { closeSync, constants, openSync, writeSync } from "node:fs";
import { RemoteError } from "../../protocol/errors.ts";
import { decodeJson, encodeJson } from "../../protocol/message.ts";
import type { Log } from "../../system/log.ts";
import { signalProcess } from "../../system/process.ts";
import { Namespaces, startAsFirst } from "../../system/process-namespace.ts";
import { DescriptorReader, openPipe } from "../../system/process-pipe.ts";
import { PreparedSpawn } from "../../system/process-spawn.ts";
import { openDevpts } from "../../system/pty.ts";
import type { ChildReaper, ProcessEnd } from "../../system/reaper.ts";
import { ownExecutable, selfCommand } from "../../system/self.ts";
import { logConsole } from "./console-log.ts";
import { initLimits } from "./limits.ts";
import { type BootReport, bootReportSchema, type WorkloadPlan } from "./workload-plan.ts";

/** One run of PID 1: from its spawn to its end. */
export interface WorkloadProcess {
  /** PID 1 as seen from outside. */
  readonly pid: number;
  readonly runtime: "system-init" | "fallback-init";
  readonly stopSignal: number;
  readonly isBusybox: boolean;
  readonly namespaces: Namespaces;
  /** The devpts mounted inside, opened before anybody in there could put another in its place. */
  readonly devptsFd: number;
  /** Resolves once PID 1 and all in its PID namespace are gone. Never rejects. */
  readonly ended: Promise<ProcessEnd>;
  /** Lets go of the namespaces; for after the end. */
  close(): void;
}

/**
 * Starts a workload and waits until its init runs. Rejects with `RemoteError` "workload-failed" that
 * names the step; then nothing is left of it.
 */
export async function startWorkload(options: StartOptions): Promise<WorkloadProcess> {
  const report = openPipe();
  const go = openPipe();
  const output = openPipe();
  const nothing = openSync("/dev/null", constants.O_RDONLY);
  const theirs = [nothing, output.writeFd, output.writeFd, report.writeFd, go.readFd];
  let pid: number;
  try {
    pid = spawnFirstProcess(options.plan, theirs);
  } catch (error) {
    for (const fd of [...theirs.slice(2), nothing, report.readFd, go.writeFd, output.readFd])
      closeSync(fd);
    throw failure(error instanceof Error ? error.message : String(error));
  }
  for (const fd of [...theirs.slice(2), nothing]) closeSync(fd);
  logConsole(new DescriptorReader(output.readFd), options.log);
  const ended = options.reaper.ended(pid);
  const reader = new DescriptorReader(report.readFd);
  const timer = setTimeout(() => process.kill(pid, "SIGKILL"), initLimits.bootMs);
  const opened: Opened = {};
  try {
    const started = await followBoot(reader, go.writeFd, opened);
    return { ...started, ended, close: () => closeOpened(opened) };
  } catch (error) {
    signalProcess(pid, 9);
    await ended;
    closeOpened(opened);
    throw error;
  } finally {
    clearTimeout(timer);
    reader.close();
    closeSync(go.writeFd);
  }
}

export interface StartOptions {
  readonly plan: WorkloadPlan;
  readonly reaper: ChildReaper;
  readonly log: Log;
}

function spawnFirstProcess(plan: WorkloadPlan, stdio: readonly number[]): number {
  const argv = selfCommand("init", "workload", JSON.stringify(plan));
  const spawn = new PreparedSpawn({ path: ownExecutable, argv, env: {}, stdio });
  try {
    return startAsFirst(spawn);
  } finally {
    spawn.release();
  }
}

interface Opened {
  namespaces?: Namespaces;
  devptsFd?: number;
}

function closeOpened(opened: Opened): void {
  opened.namespaces?.close();
  if (opened.devptsFd !== undefined) closeSync(opened.devptsFd);
}

async function followBoot(
  reader: DescriptorReader,
  goFd: number,
  opened: Opened,
): Promise<Omit<WorkloadProcess, "ended" | "close">> {
  let pid: number | undefined;
  let execution: Extract<BootReport, { kind: "execute" }> | undefined;
  for await (const report of reports(reader)) {
    if (report.kind === "failed") throw failure(`${report.step}: ${report.message}`);
    if (report.kind === "execute") execution = report;
    if (report.kind === "assembled") {
      pid = report.pid;
      opened.namespaces = new Namespaces(pid);
      opened.devptsFd = openDevpts(`/proc/${pid}/root/dev/pts`);
      writeSync(goFd, "g");
    }
  }
  const { namespaces, devptsFd } = opened;
  if (pid === undefined || namespaces === undefined || devptsFd === undefined)
    throw failure("it ended before its root was ready");
  if (execution === undefined) throw failure("it ended before its init ran");
  return {
    pid,
    namespaces,
    devptsFd,
    runtime: execution.runtime,
    stopSignal: execution.stopSignal,
    isBusybox: execution.isBusybox,
  };
}

/** Lines until the pipe closes, which a successful execve does. */
async function* reports(reader: DescriptorReader): AsyncGenerator<BootReport> {
  const decoder = new TextDecoder();
  let text = "";
  let taken = 0;
  for (;;) {
    const bytes = await reader.read();
    if (bytes === null) return;
    taken += bytes.length;
    if (taken > initLimits.bootReportBytesMax) throw failure("its reports are too long");
    text += decoder.decode(bytes, { stream: true });
    const lines = text.split("\n");
    text = lines.pop() ?? "";
    for (const line of lines)
      yield decodeJson(bootReportSchema, encodeJson(JSON.parse(line)), "Boot report");
  }
}

function failure(detail: string): RemoteError {
  return new RemoteError("workload-failed", `The workload did not start: ${detail}`);
}
