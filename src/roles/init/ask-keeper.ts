import type * as v from "valibot";
import { FrameStream } from "../../protocol/frame.ts";
import { request, type Request } from "../../protocol/message.ts";
import { connectUnix } from "../../system/tcp-stream.ts";
import { initLimits } from "./limits.ts";

/** One request of the keeper and its reply, over a connection that nothing is left of. Rejects as `request` does. */
export async function askKeeper<Schema extends v.GenericSchema>(
  keeperSocket: string,
  message: Request,
  schema: Schema,
): Promise<v.InferOutput<Schema>> {
  const stream = await connectUnix(keeperSocket, initLimits.keeperConnectMs);
  try {
    return await request(new FrameStream(stream), message, schema);
  } finally {
    stream.abort(0);
  }
}
