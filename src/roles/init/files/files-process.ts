import { writeSync } from "node:fs";
import { encodeFrame, frameTypes } from "../../../protocol/frame.ts";
import { encodeJson } from "../../../protocol/message.ts";
import { complain, enterGuest } from "../guest-entry.ts";

/** `init files PLAN`: started by the keeper for one `files` stream, which is its stdin and stdout. */
export function serveFiles(plan: string): number {
  try {
    const { account } = enterGuest(plan);
    writeSync(1, encodeFrame(frameTypes.ok, encodeJson({ home: account.home })));
    return 0;
  } catch (error) {
    complain(error);
    return 1;
  }
}
