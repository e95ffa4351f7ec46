import { ProtocolError, WireError } from "../../../protocol/errors.ts";
import { encodeFrame, frameTypes } from "../../../protocol/frame.ts";
import { encodeJson } from "../../../protocol/message.ts";
import { raiseDescriptorLimit } from "../../../system/descriptor-limit.ts";
import { enterGuest, serveInGuest } from "../guest-entry.ts";
import { initLimits } from "../limits.ts";
import { BlockingFrames } from "./blocking-frames.ts";
import { serveCopy } from "./files-server.ts";

/** `init files PLAN`: started by the keeper for one `files` stream, which it is lent. */
export function serveFiles(plan: string): number {
  return serveInGuest((stream) => {
    raiseDescriptorLimit(initLimits.guestProcessDescriptors);
    const { account } = enterGuest(plan);
    try {
      serveCopy(new BlockingFrames(stream), { home: account.home, user: account.name });
    } catch (error) {
      if (!(error instanceof WireError || error instanceof ProtocolError)) throw error;
      const body = { code: "bad-request", message: error.message };
      stream.write(encodeFrame(frameTypes.error, encodeJson(body)));
    }
  });
}
