import { writeSync } from "node:fs";
import { ProtocolError, WireError } from "../../../protocol/errors.ts";
import { encodeFrame, frameTypes } from "../../../protocol/frame.ts";
import { encodeJson } from "../../../protocol/message.ts";
import { raiseDescriptorLimit } from "../../../system/descriptor-limit.ts";
import { makeBlocking } from "../../../system/process.ts";
import { hasCode } from "../../../system/filesystem.ts";
import { complain, enterGuest } from "../guest-entry.ts";
import { initLimits } from "../limits.ts";
import { BlockingFrames } from "./blocking-frames.ts";
import { serveCopy } from "./files-server.ts";

/** `init files PLAN`: started by the keeper for one `files` stream, which is its stdin and stdout. */
export function serveFiles(plan: string): number {
  try {
    raiseDescriptorLimit(initLimits.guestProcessDescriptors);
    const { account } = enterGuest(plan);
    for (const fd of [0, 1]) makeBlocking(fd);
    const frames = new BlockingFrames(0, 1);
    try {
      serveCopy(frames, { home: account.home, user: account.name });
      return 0;
    } catch (error) {
      if (!(error instanceof WireError || error instanceof ProtocolError)) throw error;
      const body = { code: "bad-request", message: error.message };
      writeSync(1, encodeFrame(frameTypes.error, encodeJson(body)));
      return 1;
    }
  } catch (error) {
    // Whoever asked is gone.
    if (hasCode(error, "EPIPE")) return 1;
    complain(error);
    return 1;
  }
}
