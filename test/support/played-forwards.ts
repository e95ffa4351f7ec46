import { RemoteError } from "../../src/protocol/errors.ts";
import type { ForwardRequest } from "../../src/protocol/forward-message.ts";
import { type FrameStream, frameTypes } from "../../src/protocol/frame.ts";
import { encodeJson } from "../../src/protocol/message.ts";
import type { GuestForwards } from "../../src/roles/init/guest-forwards.ts";
import { forwardUdp } from "../../src/roles/init/udp-forward.ts";
import { splice } from "../../src/system/splice.ts";
import { connectTcp } from "../../src/system/tcp-stream.ts";

/** What a machine's link and keeper do with a forward, in this process. */
export async function serveForward(
  frames: FrameStream,
  request: ForwardRequest,
  forwards: GuestForwards,
): Promise<void> {
  if (request.type === "forward") return forwardTcp(frames, request);
  if (request.type === "forward-udp") return forwardUdp(frames, request);
  await forwards.serve(frames, request);
  await frames.stream.end();
}

async function forwardTcp(
  frames: FrameStream,
  { host, port }: { readonly host: string; readonly port: number },
): Promise<void> {
  const target = await connectTcp({ host, port }).catch((error: Error) => {
    throw new RemoteError("forward-refused", error.message);
  });
  await frames.write(frameTypes.ok, encodeJson({}));
  await splice(frames.release(), target);
}
