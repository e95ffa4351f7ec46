import { normalize } from "node:path";
import { ProtocolError } from "../../../protocol/errors.ts";
import { type FileJob, fileJobSchema, type FilesReply } from "../../../protocol/file-job.ts";
import { encodeFrame, frameTypes } from "../../../protocol/frame.ts";
import { decodeJson, encodeJson } from "../../../protocol/message.ts";
import type { CopyPeer } from "../../../system/copy/copy-peer.ts";
import { TreeSink } from "../../../system/copy/tree-sink.ts";
import { TreeSource } from "../../../system/copy/tree-source.ts";
import type { BlockingFrames } from "./blocking-frames.ts";

/** One copy, from the reply on. Throws `WireError` or `ProtocolError` for what the client must not say. */
export function serveCopy(frames: BlockingFrames, reply: FilesReply): void {
  frames.write(encodeFrame(frameTypes.ok, encodeJson(reply)));
  const first = frames.read();
  if (first === null) return;
  if (first.type !== frameTypes.fileJob) throw new ProtocolError("No job came");
  const peer = peerOf(decodeJson(fileJobSchema, first.payload, "Job"), reply.home);
  try {
    frames.run(peer);
  } finally {
    peer.close();
  }
}

function peerOf(job: FileJob, home: string): CopyPeer {
  if (job.type === "receive") {
    const { destination, into_folder: intoFolder, ...wishes } = job;
    return new TreeSink({
      ...wishes,
      destination: Buffer.from(normalize(pathOf(destination, home))),
      intoFolder,
      umask: 0o022,
      modeMask: 0o7777,
      showsDigests: false,
    });
  }
  const { sources, recursive, exclude, digests = true } = job;
  const paths = sources.map((source) => Buffer.from(pathOf(source, home)));
  return new TreeSource({ sources: paths, glob: true, recursive, exclude, digests });
}

/** Relative to the home folder, as ssh has it. */
function pathOf(path: string, home: string): string {
  const bare = path === "~" ? "." : path.replace(/^~\//, "");
  return bare.startsWith("/") ? bare : `${home.replace(/\/$/, "")}/${bare}`;
}
