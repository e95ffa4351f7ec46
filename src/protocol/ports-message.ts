import * as v from "valibot";
import { limits } from "./limits.ts";
import { name, textUpTo } from "./message-fields.ts";

/** What programs in the machine listen on, told as it changes. */

export const portsRequest = v.object({
  type: v.literal("ports"),
  /** Id or name: what its programs listen on is marked. One that is not there has no programs. */
  session: v.optional(name),
});
export type PortsRequest = v.InferOutput<typeof portsRequest>;

export const listeningPort = v.object({
  port: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65_535)),
  /** Where it listens, as a number: the widest address, where there are several. */
  host: textUpTo(limits.hostBytesMax),
  /** Name of the process, and its number as it is called inside. */
  process: textUpTo(limits.nameBytesMax),
  pid: v.nullable(v.number()),
  in_session: v.optional(v.boolean()),
});
export type ListeningPort = v.InferOutput<typeof listeningPort>;

/** Of frame `ports`: all of them, by number. */
export const portsSchema = v.object({
  ports: v.pipe(v.array(listeningPort), v.maxLength(limits.portsMax)),
});
