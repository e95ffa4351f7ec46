import { type FrameStream, frameTypes } from "../../protocol/frame.ts";
import { limits } from "../../protocol/limits.ts";
import { encodeJson, type SpeedRequest } from "../../protocol/message.ts";

/**
 * Sends bytes that mean nothing for as long as was asked, or counts those that come. The link itself
 * does it: what is measured is the way, not the machine's processes.
 */
export async function serveSpeed(
  frames: FrameStream,
  request: SpeedRequest,
  nowMs: () => number,
): Promise<void> {
  await frames.write(frameTypes.ok, encodeJson({}));
  const startedMs = nowMs();
  const untilMs = startedMs + request.duration_ms;
  if (request.direction === "down") await pour(frames, () => nowMs() < untilMs);
  else await count(frames, nowMs);
  await frames.stream.end();
}

async function pour(frames: FrameStream, goesOn: () => boolean): Promise<void> {
  const payload = new Uint8Array(limits.dataBytesMax);
  while (goesOn()) await frames.write(frameTypes.data, payload);
}

/** From the first byte to the last: the way here and back is not part of it. */
async function count(frames: FrameStream, nowMs: () => number): Promise<void> {
  let bytes = 0;
  let firstMs: number | undefined;
  let lastMs = nowMs();
  for (;;) {
    const frame = await frames.read();
    if (frame === null || frame.type !== frameTypes.data) break;
    lastMs = nowMs();
    firstMs ??= lastMs;
    bytes += frame.payload.length;
    if (lastMs - firstMs > limits.speedMsMax) break;
  }
  await frames.write(frameTypes.done, encodeJson({ bytes, ms: lastMs - (firstMs ?? lastMs) }));
}
