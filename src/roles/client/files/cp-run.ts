import { resolve } from "node:path";
import { Failure } from "../../../cli/failure.ts";
import type { FileJob } from "../../../protocol/file-job.ts";
import type { CopyObserver, CopyPeer } from "../../../system/copy/copy-peer.ts";
import { TreeSink } from "../../../system/copy/tree-sink.ts";
import { TreeSource } from "../../../system/copy/tree-source.ts";
import type { AttestedLink } from "../link/attested-link.ts";
import type { CopyOperands } from "./cp-operands.ts";
import { clientLimits } from "../limits.ts";
import { topNames } from "./cp-top-names.ts";
import { copyOver } from "./cp-stream.ts";
import { type StreamedSoFar, StreamSink } from "./stream-sink.ts";
import type { Leaving } from "../link/stop-before.ts";
import { overLink } from "../link/over-link.ts";

export interface CopyWishes {
  readonly recursive: boolean;
  readonly preserve: boolean;
  readonly keep: boolean;
  readonly dryRun: boolean;
  readonly exclude: readonly string[];
  readonly user: string | undefined;
}

export interface CopyPlan {
  readonly operands: CopyOperands;
  readonly wishes: CopyWishes;
  /** Content of ours in place of files with the names of the operands: standard input, spooled. */
  readonly spool?: string;
  /** The file goes out there instead of to a destination. */
  readonly output?: StreamedSoFar;
  /** Paths on our side that are to stay as they are there. */
  readonly declined?: ReadonlySet<string>;
}

export interface CopyEvents extends CopyObserver {
  /** The link was lost and is back: all is gone through again, and what is there costs next to nothing. */
  again(): void;
  /** The user stopped it. */
  stopped(): Promise<void>;
}

/** The whole copy, over as many connections as it takes. */
export async function runCopy(
  link: AttestedLink,
  plan: CopyPlan,
  events: CopyEvents,
  leaving: Leaving,
): Promise<void> {
  const { user } = plan.wishes;
  let peer: CopyPeer | undefined;
  leaving(async () => {
    // Takes away what nothing can be done with later.
    peer?.close();
    await events.stopped();
  });
  let attempts = 0;
  let vain = 0;
  await overLink(link, async (connection) => {
    attempts += 1;
    vain += 1;
    if (attempts > 1) events.again();
    if (vain > clientLimits.copyAttemptsInVainMax) throw brokenOff(vain - 1);
    const noted = noting(events, () => (vain = 0));
    peer = ownSide(plan, noted);
    await copyOver(connection, { user, job: jobOf(plan) }, peer);
  });
}

/** A link that is lost now and then is one thing, a machine that never gets anything done another. */
function noting(events: CopyEvents, onContent: () => void): CopyObserver {
  return {
    total: (files, bytes) => events.total(files, bytes),
    began: (path, size, offset) => events.began(path, size, offset),
    advanced: (bytes, sentBytes) => {
      onContent();
      events.advanced(bytes, sentBytes);
    },
    settled: (path, size, outcome, sha256) => {
      onContent();
      events.settled(path, size, outcome, sha256);
    },
    failed: (path, code, message) => events.failed(path, code, message),
  };
}

function brokenOff(times: number): Failure {
  return new Failure("FV-VM-003", "the copy broke off again and again", {
    because: `${times} times in a row nothing was copied before it did`,
    fix: "look at the machine's log:  fly logs",
  });
}

function jobOf({ operands, wishes, output }: CopyPlan): FileJob {
  const { direction, sources, destination } = operands;
  const { recursive, exclude } = wishes;
  if (direction === "download")
    return {
      type: "send",
      sources: [...sources],
      recursive,
      exclude: [...exclude],
      // `TreeSink` makes its own of what comes.
      digests: output !== undefined,
    };
  return {
    type: "receive",
    destination,
    into_folder: isFolderMeant(operands, wishes),
    ...sinkOptions(wishes),
  };
}

function ownSide(
  { operands, wishes, spool, output, declined = none }: CopyPlan,
  observer: CopyObserver,
): CopyPeer {
  if (output !== undefined && !wishes.dryRun) return new StreamSink(output, observer);
  const { direction, sources, destination } = operands;
  const { recursive, exclude } = wishes;
  if (direction === "upload") {
    const paths = spool === undefined ? sources.map(absolute) : [spool];
    const bytes = paths.map((path) => Buffer.from(path));
    const options = { glob: false, recursive, exclude, declined, digests: true, observer };
    return new TreeSource({ sources: bytes, ...options });
  }
  return new TreeSink({
    ...sinkOptions(wishes),
    destination: Buffer.from(absolute(destination)),
    intoFolder: isFolderMeant(operands, wishes),
    umask: process.umask(),
    modeMask: 0o777,
    showsDigests: true,
    declined,
    isAskedFor: topNames(sources, recursive),
    observer,
  });
}

function sinkOptions({ keep, dryRun, preserve }: CopyWishes): {
  existing: "keep" | "replace";
  dry_run: boolean;
  preserve: boolean;
} {
  return { existing: keep ? "keep" : "replace", dry_run: dryRun, preserve };
}

/** `cp -r DIR NEW/` makes NEW, as cp does; a file into a folder that is not there is a mistake. */
function isFolderMeant({ sources, destination }: CopyOperands, { recursive }: CopyWishes): boolean {
  return sources.length > 1 || (destination.endsWith("/") && !recursive);
}

/** The slash at the end means something. */
function absolute(path: string): string {
  const full = resolve(path);
  return /(^|\/)\.$/.test(path)
    ? `${full}/.`
    : path.endsWith("/") && full !== "/"
      ? `${full}/`
      : full;
}

const none: ReadonlySet<string> = new Set();
