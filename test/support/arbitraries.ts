import fc from "fast-check";
import { type FrameType, frameTypes } from "../../src/protocol/frame.ts";
import type { ClientFrame, ServerFrame } from "../../src/protocol/session-frame.ts";
import type { Request } from "../../src/protocol/message.ts";

/** Values of the protocol for property tests. */

const offset = fc.oneof(
  fc.integer({ min: 0, max: 70_000 }),
  fc.constantFrom(0, 2 ** 31 - 1, 2 ** 32 - 1, 2 ** 32, 2 ** 52, Number.MAX_SAFE_INTEGER - 300),
);
const data = fc.uint8Array({ minLength: 1, maxLength: 300 });
const stream = fc.constantFrom("stdout" as const, "stderr" as const);
const size = fc.integer({ min: 1, max: 65_535 });
const digest = fc.stringMatching(/^[0-9a-f]{64}$/);
const name = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,20}$/);
const text = fc
  .string({ unit: "grapheme", maxLength: 40 })
  .filter((value) => !value.includes("\0") && value.isWellFormed());

export const clientFrames: fc.Arbitrary<ClientFrame> = fc.oneof(
  fc.record({ kind: fc.constant("stdin" as const), offset, bytes: data }),
  fc.record({ kind: fc.constant("stdin-end" as const), offset }),
  fc.record({ kind: fc.constant("resize" as const), rows: size, cols: size }),
  fc.record({ kind: fc.constant("signal" as const), signal: fc.integer({ min: 1, max: 64 }) }),
  fc.record({ kind: fc.constant("output-ack" as const), stream, offset }),
  fc.record({ kind: fc.constant("exit-ack" as const) }),
);

export const serverFrames: fc.Arbitrary<Exclude<ServerFrame, { readonly kind: "error" }>> =
  fc.oneof(
    fc.record({ kind: stream, offset, bytes: data }),
    fc.record({ stream, from: offset, lost: fc.integer({ min: 1, max: 250 }) }).map((gap) => ({
      kind: "gap" as const,
      stream: gap.stream,
      from: gap.from,
      to: gap.from + gap.lost,
    })),
    fc.record({ kind: fc.constant("stdin-ack" as const), offset }),
    fc.record({
      kind: fc.constant("exit" as const),
      exit: fc.oneof(
        fc.record({ code: fc.integer({ min: 0, max: 255 }) }),
        fc.record({ signal: fc.integer({ min: 1, max: 64 }) }),
      ),
    }),
  );

export const requests: fc.Arbitrary<Request> = fc.oneof(
  fc.record({ type: fc.constant("status" as const) }),
  fc.record({ type: fc.constant("sessions" as const) }),
  fc.record({
    type: fc.constantFrom("forward" as const, "forward-udp" as const),
    host: text.filter((t) => t !== ""),
    port: size,
  }),
  fc.record({ type: fc.constant("forward-unix" as const), path: text.map((t) => `/${t}`) }),
  fc.record(
    {
      type: fc.constant("forward-listen" as const),
      id: name,
      at: fc.oneof(
        fc.record({ kind: fc.constant("tcp" as const), host: fc.constant("::1"), port: size }),
        fc.record({ kind: fc.constant("unix" as const), path: text.map((t) => `/${t}`) }),
      ),
      gateway: fc.boolean(),
    },
    { requiredKeys: ["type", "id", "at"] },
  ),
  fc.record(
    {
      type: fc.constant("forward-accept" as const),
      listener: name,
      connection: size,
      refuse: fc.boolean(),
    },
    { requiredKeys: ["type", "listener", "connection"] },
  ),
  fc.record(
    {
      type: fc.constant("session-open" as const),
      id: name,
      client: name,
      tty: fc.boolean(),
      argv: fc.array(text, { minLength: 1, maxLength: 5 }),
      cwd: text,
      detach: fc.boolean(),
    },
    { requiredKeys: ["type", "id", "client", "tty"] },
  ),
  fc.record({
    type: fc.constant("session-attach" as const),
    session: name,
    client: name,
    stdout_offset: offset,
    stderr_offset: offset,
    mode: fc.constantFrom("take-over" as const, "share" as const, "view" as const),
  }),
  fc.record(
    { type: fc.constant("session-rename" as const), session: name, generation: name, name },
    { requiredKeys: ["type", "session"] },
  ),
  fc.record(
    {
      type: fc.constant("session-signal" as const),
      session: name,
      generation: name,
      signal: fc.integer({ min: 1, max: 64 }),
      to: fc.constantFrom("foreground" as const, "program" as const),
    },
    { requiredKeys: ["type", "session", "signal"] },
  ),
  fc.record(
    {
      type: fc.constant("session-wait" as const),
      session: name,
      generation: name,
      timeout_ms: fc.integer({ min: 1 }),
    },
    { requiredKeys: ["type", "session"] },
  ),
  fc.record({
    type: fc.constant("provision" as const),
    id: name,
    source: fc.oneof(
      fc.record({ kind: fc.constant("upload" as const), size_bytes: offset }),
      fc.record({ kind: fc.constant("url" as const), url: text }),
      fc.record(
        { kind: fc.constant("previous" as const), instead_of: digest },
        { requiredKeys: ["kind"] },
      ),
    ),
  }),
  fc.record({ type: fc.constant("provision-cancel" as const), id: name }),
  fc.record({ type: fc.constant("ports" as const), session: name }, { requiredKeys: ["type"] }),
  fc.record({ type: fc.constant("files" as const), user: text }, { requiredKeys: ["type"] }),
);

const types: FrameType[] = Object.values(frameTypes);

/** Bytes that look like frames more often than chance would have it: right and wrong types, lengths off by a little. */
export const frameLikeBytes: fc.Arbitrary<Uint8Array> = fc
  .array(
    fc.oneof(
      {
        weight: 5,
        arbitrary: fc.tuple(
          fc.constantFrom(...types),
          fc.uint8Array({ maxLength: 40 }),
          lengthError(),
        ),
      },
      {
        weight: 1,
        arbitrary: fc.tuple(fc.nat(255), fc.uint8Array({ maxLength: 40 }), lengthError()),
      },
    ),
    { maxLength: 6 },
  )
  .map((parts) =>
    Uint8Array.from(parts.flatMap(([type, body, off]) => frameBytes(type, body, off))),
  );

function lengthError(): fc.Arbitrary<number> {
  return fc.oneof(
    { weight: 8, arbitrary: fc.constant(0) },
    { weight: 1, arbitrary: fc.constantFrom(1, -1, 256, 2 ** 16, 2 ** 20, 2 ** 31, 2 ** 32 - 64) },
  );
}

function frameBytes(type: number, body: Uint8Array, off: number): number[] {
  const header = new DataView(new ArrayBuffer(5));
  header.setUint8(0, type);
  header.setUint32(1, Math.max(0, body.length + off));
  return [...new Uint8Array(header.buffer), ...body];
}

/** The same bytes in slices, cut at the given places. */
export function cutAt(bytes: Uint8Array, cuts: readonly number[]): Uint8Array[] {
  const places = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].toSorted(
    (a, b) => a - b,
  );
  const slices: Uint8Array[] = [];
  let from = 0;
  for (const place of [...places, bytes.length]) {
    if (place > from) slices.push(bytes.slice(from, place));
    from = Math.max(from, place);
  }
  return slices;
}
