import { RemoteError } from "../../protocol/errors.ts";
import { type FrameStream, frameTypes } from "../../protocol/frame.ts";
import { encodeJson } from "../../protocol/message.ts";
import type { SessionAttachRequest, SessionReply } from "../../protocol/session-message.ts";
import type { ViewAttachment } from "../../protocol/session-server.ts";
import { initLimits } from "./limits.ts";
import type { Session } from "./session.ts";
import { Wake } from "./wake.ts";

/** One connection that reads a session along, until the exit is noted or the client leaves. */
export async function serveView(
  frames: FrameStream,
  session: Session,
  request: SessionAttachRequest,
): Promise<void> {
  if (session.viewerCount >= initLimits.viewersPerSessionMax)
    throw new RemoteError("limit", "Too many clients read this session along");
  const shown = { stdout: request.stdout_offset, stderr: request.stderr_offset };
  const tail = { bytes: request.tail_bytes, lines: request.tail_lines };
  const view = session.state.view(shown, tail);
  const wake = new Wake();
  const leave = session.addViewer(wake);
  const turn: Turn = { over: false };
  try {
    await frames.write(frameTypes.ok, encodeJson(replyOf(session, view)));
    await Promise.race([send(frames, view, wake, turn), receive(frames, view)]);
  } finally {
    leave();
    turn.over = true;
    wake.notify();
  }
}

interface Turn {
  over: boolean;
}

function replyOf(session: Session, { begin, end }: ViewAttachment): SessionReply {
  return {
    ...session.identity,
    created: false,
    stdin_offset: 0,
    view: {
      stdout_offset: begin.stdout,
      stderr_offset: begin.stderr,
      stdout_end: end.stdout,
      stderr_end: end.stderr,
    },
  };
}

async function send(
  frames: FrameStream,
  view: ViewAttachment,
  wake: Wake,
  turn: Turn,
): Promise<void> {
  while (!turn.over) {
    const frame = view.poll();
    if (frame === undefined) await wake.wait();
    else await frames.writeEncoded(frame);
  }
}

/** Until the client has noted the exit, ends its half or is gone. */
async function receive(frames: FrameStream, view: ViewAttachment): Promise<void> {
  for (;;) {
    const frame = await frames.read();
    if (frame === null || view.receive(frame).kind === "exit-ack") return;
  }
}
