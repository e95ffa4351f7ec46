import { closeSync } from "node:fs";
import { RemoteError } from "../../../protocol/errors.ts";
import { childEnv, keptHeap } from "../../../system/child-env.ts";
import { DescriptorReader, openPipe } from "../../../system/process-pipe.ts";
import { provisionLimits } from "./limits.ts";
import { parseReport, type Report, unreadable } from "./report.ts";

type Done = Extract<Report, { readonly type: "done" }>;
export type ProgressReport = Extract<Report, { readonly type: "progress" }>;

export interface UnpackRun {
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Goes to the child's stdin; none for `seal`. */
  readonly archive?: AsyncIterable<Uint8Array> | undefined;
  /** Another child's end of a pipe in its place, and one for what the child writes. They are closed here. */
  readonly stdin?: number;
  readonly stdout?: number;
  readonly archiveWaitMs?: number;
  readonly onProgress?: (report: ProgressReport) => void;
  /** What a gathering child says once, of `PieceSet`. */
  readonly onLacking?: ((pieces: Uint8Array) => void) | undefined;
  readonly signal: AbortSignal;
}

/**
 * Runs the unpacking child to its verdict. The pipe's back-pressure holds the sender to the speed of
 * the disk. Rejects with the child's refusal, with what the archive's source threw, or `cancelled`;
 * whatever happens, the child is gone when this settles.
 */
export async function runUnpack(run: UnpackRun): Promise<Done> {
  const { child, reports } = start(run);
  const kill = (): void => child.kill("SIGKILL");
  run.signal.addEventListener("abort", kill, { once: true });
  try {
    const feeding = feed(run, child.stdin, kill);
    const verdict = await readReports(reports, run);
    // One that has nothing more to say and does not end would be waited for in vain.
    if (verdict === undefined) kill();
    const sourceError = await settled(feeding, child.exited);
    await child.exited;
    if (sourceError !== undefined) throw sourceError;
    if (run.signal.aborted && verdict?.type !== "refused") throw abortReason(run.signal);
    return judged(verdict, child.signalCode);
  } finally {
    run.signal.removeEventListener("abort", kill);
    reports.close();
    kill();
    await child.exited;
  }
}

function start(run: UnpackRun): { readonly child: Child; readonly reports: DescriptorReader } {
  const { stdin, stdout } = run;
  const childsEnds = [stdin, stdout];
  let reports: DescriptorReader | undefined;
  try {
    run.signal.throwIfAborted();
    // One of our own: what Bun makes for a descriptor beyond the third stays open when all is over.
    const { readFd, writeFd } = openPipe();
    childsEnds.push(writeFd);
    reports = new DescriptorReader(readFd);
    const child = Bun.spawn([...run.command], {
      env: childEnv({ PATH: run.env["PATH"] ?? defaultPath }, { ...compileLess, ...keptHeap }),
      stdio: [stdin ?? "pipe", stdout ?? "ignore", "inherit", writeFd],
    });
    return { child, reports };
  } catch (error) {
    reports?.close();
    throw error;
  } finally {
    for (const fd of childsEnds) if (fd !== undefined) closeSync(fd);
  }
}

/** A plain cancel has no words of its own; anything else is said by whoever ends it. */
function abortReason({ reason }: AbortSignal): unknown {
  return reason instanceof DOMException ? cancelled() : reason;
}

/** The last stage of JavaScriptCore's optimiser costs a child of seconds more than it saves: an eighth of its time. */
const compileLess = { BUN_JSC_useFTLJIT: "0" };

/** For `unshare` and `cp`; the machine's own environment need not name a path. */
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

export function cancelled(): RemoteError {
  return new RemoteError("cancelled", "Provisioning was cancelled; the old root filesystem stays");
}

type ChildInput = Pick<Bun.FileSink, "write" | "flush" | "end">;
type Child = Bun.Subprocess<"pipe" | number, "ignore" | number, "inherit">;

/** Resolves with the source's own error, which counts more than the child's complaint about a short archive. */
async function feed(
  run: UnpackRun,
  stdin: ChildInput | number | undefined,
  kill: () => void,
): Promise<Error | undefined> {
  if (typeof stdin !== "object") return undefined;
  try {
    if (run.archive !== undefined) {
      await copyArchive(run.archive, stdin, run.archiveWaitMs ?? provisionLimits.archiveWaitMs);
    }
    return undefined;
  } catch (error) {
    kill();
    return error instanceof Error ? error : new Error(String(error));
  } finally {
    await Promise.resolve(stdin.end()).catch(() => undefined);
  }
}

/** A write that fails means that the child has ended: its report says why, so that is no error here. */
async function copyArchive(
  archive: AsyncIterable<Uint8Array>,
  stdin: ChildInput,
  waitMs: number,
): Promise<void> {
  const chunks = archive[Symbol.asyncIterator]();
  try {
    for (;;) {
      const next = await withinWait(chunks.next(), waitMs);
      if (next.done === true) return;
      try {
        await stdin.write(next.value);
        await stdin.flush();
      } catch {
        return;
      }
    }
  } finally {
    // Tells the source to stop; it may be waiting for a peer that is gone, so nobody waits for it.
    void Promise.resolve(chunks.return?.()).catch(() => undefined);
  }
}

async function withinWait<Value>(next: Promise<Value>, waitMs: number): Promise<Value> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      reject(new RemoteError("cancelled", "The archive stopped arriving"));
    }, waitMs);
  });
  try {
    return await Promise.race([next, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** After the verdict nobody waits for a source that has nothing more to say. */
function settled(
  feeding: Promise<Error | undefined>,
  exited: Promise<number>,
): Promise<Error | undefined> {
  return Promise.race([feeding, exited.then(() => undefined)]);
}

/** The final report, or undefined where the child died without one. */
async function readReports(
  reports: DescriptorReader,
  { onProgress, onLacking }: UnpackRun,
): Promise<Report | undefined> {
  const decoder = new TextDecoder();
  let rest = "";
  let verdict: Report | undefined;
  for (let bytes = await reports.read(); bytes !== null; bytes = await reports.read()) {
    const lines = (rest + decoder.decode(bytes, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    if (rest.length > provisionLimits.reportLineBytesMax) throw unreadable();
    for (const line of lines) {
      const report = parseReport(line);
      if (report.type === "progress") onProgress?.(report);
      else if (report.type === "lacking") onLacking?.(Buffer.from(report.pieces, "base64"));
      else verdict = report;
    }
  }
  return verdict;
}

function judged(verdict: Report | undefined, signal: string | number | null): Done {
  if (verdict?.type === "done") return verdict;
  if (verdict?.type === "refused")
    throw new RemoteError(verdict.code, verdict.message, verdict.hint);
  throw new RemoteError(
    "internal",
    `The unpacking process died${signal === null ? "" : ` of ${signal}`}`,
  );
}
