import * as v from "valibot";
import { Failure } from "../../../cli/failure.ts";
import { errorBodySchema } from "./control-message.ts";
import { clientLimits } from "../limits.ts";

/** A process of ours that does not answer at its socket any more. */
export class ControlGone extends Error {
  override readonly name = "ControlGone";
}

/** One request to the control socket of another process. Rejects with `ControlGone` or with `Failure`. */
export async function askControl<Schema extends v.GenericSchema>(
  socket: string,
  { method, path, body }: ControlQuestion,
  schema: Schema,
): Promise<v.InferOutput<Schema>> {
  let answer: unknown;
  let isOk: boolean;
  try {
    const response = await fetch(`http://fly-vault${path}`, {
      unix: socket,
      method,
      signal: AbortSignal.timeout(clientLimits.controlAnswerMs),
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    isOk = response.ok;
    answer = await response.json();
  } catch {
    throw new ControlGone(`Nobody answers at ${socket}`);
  }
  if (isOk) return v.parse(schema, answer);
  const refusal = v.safeParse(errorBodySchema, answer);
  const { error, fix } = refusal.success ? refusal.output : notUnderstood;
  throw new Failure("FV-FWD-005", error, fix === undefined ? {} : { fix });
}

const notUnderstood = { error: "the other process did not understand this", fix: undefined };

export interface ControlQuestion {
  readonly method: "GET" | "POST" | "DELETE";
  readonly path: string;
  readonly body?: unknown;
}
