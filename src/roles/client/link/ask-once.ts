import type * as v from "valibot";
import { FrameStream } from "../../../protocol/frame.ts";
import { request, type Request } from "../../../protocol/message.ts";
import { answer } from "./answer.ts";
import type { AttestedLink } from "./attested-link.ts";
import { overLink } from "./over-link.ts";

/** One request and its reply. Not repeated over a new connection: it may have been carried out already. */
export async function askOnce<Schema extends v.GenericSchema>(
  link: AttestedLink,
  message: Request,
  reply: Schema,
): Promise<v.InferOutput<Schema>> {
  const connection = await link.connection();
  const frames = new FrameStream(await connection.openStream());
  return answer(request(frames, message, reply));
}

/** A question that changes nothing: asked again over the next connection when one is lost. */
export async function askAnew<Schema extends v.GenericSchema>(
  link: AttestedLink,
  message: Request,
  reply: Schema,
): Promise<v.InferOutput<Schema>> {
  return overLink(link, async (connection) => {
    const frames = new FrameStream(await connection.openStream());
    return answer(request(frames, message, reply));
  });
}
