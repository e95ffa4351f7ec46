import * as v from "valibot";
import { FrameStream } from "../../../src/protocol/frame.ts";
import { request, type Request } from "../../../src/protocol/message.ts";
import { RemoteError } from "../../../src/protocol/errors.ts";
import { rejection } from "../../support/rejection.ts";
import type { TestMachine } from "./machine.ts";

/** One request and its reply, on a connection of their own. */
export async function ask<Schema extends v.GenericSchema>(
  machine: TestMachine,
  message: Request,
  schema: Schema,
): Promise<v.InferOutput<Schema>> {
  const frames = new FrameStream(await machine.connect());
  try {
    return await request(frames, message, schema);
  } finally {
    await frames.stream.end();
  }
}

/** The code of the refusal that must come. */
export async function codeOf(promise: Promise<unknown>): Promise<string> {
  const error = await rejection(promise);
  if (!(error instanceof RemoteError)) throw error;
  return error.code;
}

/** Ends what runs. To the program: a job that is about to leave the foreground would take it in its place. */
export async function killSessions(machine: TestMachine): Promise<void> {
  for (const { session_id: session, state } of await machine.sessions()) {
    if (state !== "running") continue;
    const message = { type: "session-signal", session, signal: 9, to: "program" } as const;
    await ask(machine, message, v.strictObject({})).catch((error: unknown) => {
      // It ended by itself.
      if (!(error instanceof RemoteError)) throw error;
    });
  }
  await eventually(
    async () => machine.sessions(),
    (all) => all.every(({ state }) => state === "ended"),
  );
}

/** Looks again and again; fails after half a minute with what was seen last. */
export async function eventually<Value>(
  look: () => Promise<Value>,
  wanted: (value: Value) => boolean,
): Promise<Value> {
  const deadlineMs = performance.now() + 30_000;
  for (;;) {
    const value = await look();
    if (wanted(value)) return value;
    if (performance.now() > deadlineMs) throw new Error(`Still ${JSON.stringify(value)}`);
    await Bun.sleep(5);
  }
}
