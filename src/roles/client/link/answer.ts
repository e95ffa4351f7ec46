import { StreamError } from "../../../protocol/byte-stream.ts";
import { late, within } from "../../../system/within.ts";
import { clientLimits } from "../limits.ts";

/** Silence is treated like a lost stream, so that the caller tries again. */
export async function answer<Value>(
  work: Promise<Value>,
  limitMs: number = clientLimits.replyMs,
): Promise<Value> {
  const value = await within(work, limitMs);
  if (value === late) throw new StreamError("connection-lost", `No answer in ${limitMs / 1000} s`);
  return value;
}
