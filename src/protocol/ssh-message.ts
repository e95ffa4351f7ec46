import * as v from "valibot";
import { limits } from "./limits.ts";

/** Replies to the requests around SSH, and what they mean (message.ts has the requests). */

const text = v.pipe(v.string(), v.maxBytes(limits.hintBytesMax));
const offset = v.pipe(v.number(), v.safeInteger(), v.minValue(0));

/** Reply to `ssh`. */
export const sshReplySchema = v.object({
  /** As a line of a known_hosts file has it after the name; what proves it is the login, not this text. */
  host_key: v.pipe(text, v.regex(/^[\w.@-]+ [A-Za-z0-9+/]+=*$/)),
  /** False when the connection was there before. */
  created: v.boolean(),
  /** What the server has of the client's bytes: the client sends from there. */
  received: offset,
});
export type SshReply = v.InferOutput<typeof sshReplySchema>;

/** Reply to `agent`: the socket in the guest. */
export const agentReplySchema = v.object({ path: text });

/** Reply to `workload`: PID 1 of what runs here, by its number outside; null while nothing does. */
export const workloadReplySchema = v.object({ pid: v.nullable(v.number()) });
