import { existsSync, writeSync } from "node:fs";
import type { Context } from "../../../cli/context.ts";
import {
  chrootTo,
  closeFile,
  hasCode,
  openat2,
  openFlags,
  syncfs,
} from "../../../system/filesystem.ts";
import { bindMount, mount, mountFlags } from "../../../system/mount.ts";
import { dieWithParent, forbidInspection, makeBlocking } from "../../../system/process.ts";
import { notAnArchive } from "../../../system/archive/archive-format.ts";
import { decompress } from "../../../system/archive/decompress.ts";
import { makeExpendable } from "../keeper-protection.ts";
import { Extractor } from "./extractor.ts";
import { gather } from "./gather/gather.ts";
import { checkLayout } from "./layout.ts";
import { provisionLimits } from "./limits.ts";
import { refusalReport } from "./refusal-report.ts";
import { nothingMade, type Report } from "./report.ts";
import { sealStaging } from "./seal.ts";
import { TarReader } from "../../../system/archive/tar/reader.ts";
import { TarRefusal } from "../../../system/archive/tar/refusal.ts";

/**
 * The child of provisioning, started by the keeper and by nobody else. Reports on descriptor 3.
 *
 *   init unpack extract FOLDER archive|tar              archive on stdin, or the tar stream of one
 *                                                       -> files in the empty FOLDER
 *   init unpack gather FOLDER RECIPE-BYTES              recipe and pieces on stdin, and the tree in FOLDER
 *                                                       -> tar stream on stdout
 *   init unpack seal DATA-DIR SHA256 GENERATION BYTES   makes the staged tree ready to be switched to
 *
 * Processes of their own, so that inflating and thousands of system calls never hold up a console, and
 * so that a hostile archive meets a process without network, whose `/` is the staging folder; one that
 * gathers sees the old tree alone, read-only.
 */
export async function main(argv: readonly string[], context: Context): Promise<number> {
  const [verb, ...words] = argv;
  // Left alone it would go on writing where the next keeper begins anew.
  dieWithParent();
  forbidInspection();
  makeExpendable(process.pid);
  try {
    if (verb === "extract") send(await extract(words, context));
    else if (verb === "gather" && words[0] !== undefined)
      send(gatherTar(words[0], Number(words[1]), context));
    else if (verb === "seal") send(await sealStaging(words));
    else throw notForPeople();
    return 0;
  } catch (error) {
    sendLast(refusalReport(error));
    return 1;
  }
}

async function extract([folder, form]: readonly string[], context: Context): Promise<Report> {
  if (folder === undefined || (form !== "archive" && form !== "tar")) throw notForPeople();
  const rootFd = openFolder(folder);
  confine(rootFd);
  const received = new Received(context.stdin.read());
  const reader = new TarReader();
  const extractor = new Extractor(rootFd);
  const progress = (phase: "unpack" | "sync"): Report => ({
    type: "progress",
    phase,
    received_bytes: received.bytes,
    entries: extractor.entries,
    written_bytes: extractor.writtenBytes,
  });
  let reportedMs = context.monotonicMs();
  // A tar stream is not asked what it is: its first name could say that it is packed, and make another tree.
  for await (const chunk of form === "tar" ? received : decompress(received)) {
    unpackChunk(reader, extractor, chunk);
    if (context.monotonicMs() - reportedMs < provisionLimits.progressMs) continue;
    reportedMs = context.monotonicMs();
    send(progress("unpack"));
  }
  reader.finish();
  const { entries, writtenBytes, skipped } = extractor.finish();
  checkLayout(rootFd);
  send(progress("sync"));
  syncfs(rootFd);
  closeFile(rootFd);
  return {
    type: "done",
    sha256: received.sha256(),
    received_bytes: received.bytes,
    entries,
    written_bytes: writtenBytes,
    skipped: [...skipped],
  };
}

function notForPeople(): TypeError {
  return new TypeError("init unpack is started by init itself");
}

function gatherTar(folder: string, recipeBytes: number, context: Context): Report {
  const rootFd = openReadOnly(folder);
  for (const fd of [0, 1, reportFd]) makeBlocking(fd);
  gather({
    rootFd,
    recipeBytes,
    inFd: 0,
    outFd: 1,
    now: () => context.monotonicMs(),
    onProgress: (entries) => {
      // What is read of the old tree did not arrive, and may be more than what will.
      const counts = { received_bytes: 0, entries, written_bytes: 0 };
      send({ type: "progress", phase: "compare", ...counts });
    },
    onLacking: ({ bytes }) => {
      send({ type: "lacking", pieces: Buffer.from(bytes).toString("base64") });
    },
  });
  return nothingMade;
}

/** The tree as a mount of its own, on which nothing can be written and no device opened. Only root can. */
function openReadOnly(folder: string): number | undefined {
  if (!existsSync(folder)) return undefined;
  if (process.geteuid?.() === 0) {
    bindMount(folder, folder);
    const { bind, remount, readOnly, noDevices, noSetuid, noExec } = mountFlags;
    const flags = bind | remount | readOnly | noDevices | noSetuid | noExec;
    mount({ source: "none", target: folder, type: "none", flags });
  }
  const rootFd = openFolder(folder);
  confine(rootFd);
  return rootFd;
}

function openFolder(folder: string): number {
  const flags = openFlags.readOnly | openFlags.directory | openFlags.noFollow;
  return openat2(-100, folder, { flags });
}

function unpackChunk(reader: TarReader, extractor: Extractor, chunk: Uint8Array): void {
  try {
    for (const event of reader.push(chunk)) extractor.accept(event);
  } catch (error) {
    const atStart = error instanceof TarRefusal && reader.blocks === 1;
    throw atStart && error.reason === "E_CHECKSUM" ? notAnArchive() : error;
  }
}

/** A second wall behind openat2: should a name ever get past it, there is nothing else to reach. Only root can. */
function confine(rootFd: number): void {
  if (process.geteuid?.() === 0) chrootTo(rootFd);
}

/** The archive as it arrives, hashed and counted on the way through. */
class Received implements AsyncIterable<Uint8Array> {
  readonly #source: AsyncIterable<Uint8Array>;
  readonly #hash = new Bun.CryptoHasher("sha256");
  bytes = 0;

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    for await (const chunk of this.#source) {
      this.#hash.update(chunk);
      this.bytes += chunk.length;
      yield chunk;
    }
  }

  sha256(): string {
    return this.#hash.digest("hex");
  }
}

/** The keeper may be gone: then there is nobody to tell, and the next boot throws the folder away. */
function sendLast(report: Report): void {
  try {
    send(report);
  } catch (error) {
    if (!hasCode(error, "EPIPE")) throw error;
  }
}

const reportFd = 3;

function send(report: Report): void {
  const line = Buffer.from(`${JSON.stringify(report)}\n`);
  let at = 0;
  while (at < line.length) at += writeSync(reportFd, line, at);
}
