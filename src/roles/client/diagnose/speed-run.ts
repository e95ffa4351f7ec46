import * as v from "valibot";
import type { Context } from "../../../cli/context.ts";
import { FrameStream, frameTypes } from "../../../protocol/frame.ts";
import { limits } from "../../../protocol/limits.ts";
import { decodeJson, request, speedSchema } from "../../../protocol/message.ts";
import { answer } from "../link/answer.ts";
import type { AttestedLink } from "../link/attested-link.ts";

export interface Speed {
  readonly bytes: number;
  /** From the first byte to the last. */
  readonly ms: number;
}

/** From the machine to us: counted here. */
export async function measureDown(
  link: AttestedLink,
  durationMs: number,
  { monotonicMs }: Pick<Context, "monotonicMs">,
): Promise<Speed> {
  const frames = await begin(link, "down", durationMs);
  let bytes = 0;
  let firstMs: number | undefined;
  let lastMs = monotonicMs();
  for (;;) {
    const frame = await answer(frames.read());
    if (frame === null) break;
    lastMs = monotonicMs();
    firstMs ??= lastMs;
    bytes += frame.payload.length;
  }
  return { bytes, ms: lastMs - (firstMs ?? lastMs) };
}

/** From us to the machine: what we have handed over says little, so it is counted there. */
export async function measureUp(
  link: AttestedLink,
  durationMs: number,
  { monotonicMs }: Pick<Context, "monotonicMs">,
): Promise<Speed> {
  const frames = await begin(link, "up", durationMs);
  const payload = new Uint8Array(limits.dataBytesMax);
  const untilMs = monotonicMs() + durationMs;
  while (monotonicMs() < untilMs) await answer(frames.write(frameTypes.data, payload));
  await frames.write(frameTypes.dataEnd, new Uint8Array(0));
  const frame = await answer(frames.read());
  if (frame === null) return { bytes: 0, ms: 0 };
  return decodeJson(speedSchema, frame.payload, "Speed");
}

async function begin(
  link: AttestedLink,
  direction: "down" | "up",
  durationMs: number,
): Promise<FrameStream> {
  const connection = await link.connection();
  const frames = new FrameStream(await connection.openStream());
  const message = { type: "speed", direction, duration_ms: durationMs } as const;
  await answer(request(frames, message, v.object({})));
  return frames;
}
