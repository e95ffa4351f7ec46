import { enlargePipe, openPipe } from "../../../system/process-pipe.ts";
import type { runUnpack, UnpackRun } from "./unpack-process.ts";

export interface GatheredRun {
  /** The child that puts the archive together out of what is sent and what is here. */
  readonly gather: UnpackRun;
  /** The child that unpacks it. */
  readonly extract: UnpackRun;
  readonly run: typeof runUnpack;
}

/**
 * Two children, the tar stream in a pipe between them. Trouble of the first one counts more: what it leaves
 * unfinished the second finds cut short. Trouble of either ends the other, which may wait for bytes that
 * nobody needs or that never come, and is then the trouble of both.
 */
export async function runGathered({ gather, extract, run }: GatheredRun): ReturnType<typeof run> {
  const stop = new AbortController();
  const pipe = openPipe();
  enlargePipe(pipe);
  const stoppable = ({ signal }: UnpackRun) => AbortSignal.any([signal, stop.signal]);
  const gathering = run({ ...gather, signal: stoppable(gather), stdout: pipe.writeFd });
  const extracting = run({ ...extract, signal: stoppable(extract), stdin: pipe.readFd });
  for (const child of [gathering, extracting]) child.catch((error: unknown) => stop.abort(error));
  const [gathered, extracted] = await Promise.allSettled([gathering, extracting]);
  if (gathered.status === "rejected") throw gathered.reason;
  if (extracted.status === "rejected") throw extracted.reason;
  return extracted.value;
}
