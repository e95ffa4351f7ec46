import * as v from "valibot";
import { limits } from "./limits.ts";
import { name, offset, text } from "./message-fields.ts";

/** Requests around SSH, and the replies to them. */

export const ssh = v.object({
  type: v.literal("ssh"),
  /** Chosen by the client, random: asking again with the same id goes on with the same connection. */
  id: name,
  /** What this client has of the server's bytes; above 0 only for a connection that was there before. */
  received: offset,
  /** Connections of this client's computer that nobody comes back for: they end, unless somebody is there. */
  ended: v.optional(v.pipe(v.array(name), v.maxLength(limits.sshEndedMax))),
});

/** The client offers its ssh-agent to one user of the guest, root where absent, until the stream ends. */
export const agent = v.object({ type: v.literal("agent"), user: v.optional(text) });
export type SshRequest = v.InferOutput<typeof ssh>;
export type AgentRequest = v.InferOutput<typeof agent>;

/** As `files`, but what follows the reply is SFTP, without frames. */
export const sftp = v.object({ type: v.literal("sftp"), user: v.optional(text) });

/** Of processes of the machine itself. */
export const workload = v.object({ type: v.literal("workload") });

/** Reply to `ssh`. */
export const sshReplySchema = v.object({
  /** As a line of a known_hosts file has it after the name; what proves it is the login, not this text. */
  host_key: v.pipe(text, v.maxBytes(limits.hintBytesMax), v.regex(/^[\w.@-]+ [A-Za-z0-9+/]+=*$/)),
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
