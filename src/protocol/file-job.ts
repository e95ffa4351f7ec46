import * as v from "valibot";
import { limits } from "./limits.ts";

/** The JSON of a copy: the reply to `files`, and the frame `file-job` that follows it. */

const path = v.pipe(
  v.string(),
  v.minLength(1),
  v.maxBytes(limits.filePathBytesMax),
  v.check((value) => !value.includes("\0") && value.isWellFormed(), "NUL or a lone surrogate"),
);

export const filesReplySchema = v.object({
  /** Relative paths begin here. */
  home: v.string(),
  user: v.string(),
});
export type FilesReply = v.InferOutput<typeof filesReplySchema>;

/** What the sink does, on whichever side it is. */
const sinkOptions = {
  /** A name that is there already: replaced, left as it is, or the other side asks its user. */
  existing: v.picklist(["replace", "keep"]),
  /** Nothing is written. */
  dry_run: v.boolean(),
  /** Modes and times as they were. */
  preserve: v.boolean(),
};

/** What the source does. */
const sourceOptions = {
  /** Folders and all that is in them; links as links. */
  recursive: v.boolean(),
  exclude: v.pipe(v.array(path), v.maxLength(limits.filePatternsMax)),
  /** Whether each file ends with its digest, also one that is sent as a whole; absent: true. */
  digests: v.optional(v.boolean()),
};

export const fileJobSchema = v.variant("type", [
  v.object({
    type: v.literal("receive"),
    destination: path,
    /** The destination is a folder into which names go, whatever there is: several sources, or a slash at its end. */
    into_folder: v.boolean(),
    ...sinkOptions,
  }),
  v.object({
    type: v.literal("send"),
    sources: v.pipe(v.array(path), v.minLength(1), v.maxLength(limits.filePathsMax)),
    ...sourceOptions,
  }),
]);
export type FileJob = v.InferOutput<typeof fileJobSchema>;
export type ReceiveJob = Extract<FileJob, { type: "receive" }>;
export type SinkOptions = Pick<ReceiveJob, "existing" | "dry_run" | "preserve">;
