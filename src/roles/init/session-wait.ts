import { ProtocolError, RemoteError } from "../../protocol/errors.ts";
import type { FrameStream } from "../../protocol/frame.ts";
import type { SessionEnd, SessionWaitRequest } from "../../protocol/session-message.ts";
import { late, within } from "../../system/within.ts";
import { initLimits } from "./limits.ts";
import type { Session } from "./session.ts";

/**
 * The reply to `session-wait`: how the session ended, or nothing of it when the time ran out first.
 * Undefined when the client has left meanwhile, which it does by ending or losing the stream.
 */
export async function waitForEnd(
  frames: FrameStream,
  request: SessionWaitRequest,
  session: Session,
): Promise<SessionEnd | undefined> {
  if (session.waiterCount >= initLimits.waitersPerSessionMax)
    throw new RemoteError("limit", "Too many clients wait for the end of this session");
  const ended = Promise.withResolvers<SessionEnd>();
  const forget = session.whenEnded(() => {
    const { exit } = session.state;
    ended.resolve(exit === undefined ? {} : { exit });
  });
  try {
    const waitMs = Math.min(request.timeout_ms ?? initLimits.timerMsMax, initLimits.timerMsMax);
    const outcome = await within(Promise.race([ended.promise, untilLeft(frames)]), waitMs);
    return outcome === late ? {} : outcome;
  } finally {
    forget();
  }
}

async function untilLeft(frames: FrameStream): Promise<undefined> {
  if ((await frames.read()) !== null) throw new ProtocolError("A frame after the request");
  return undefined;
}
