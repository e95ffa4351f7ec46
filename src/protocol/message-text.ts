import * as v from "valibot";
import { limits } from "./limits.ts";

/** Text that reaches the kernel or a terminal: no NUL, which would cut it short, and no half of a surrogate pair. */
export const textUpTo = (bytesMax: number) =>
  v.pipe(
    v.string(),
    v.maxBytes(bytesMax),
    v.check((value) => !value.includes("\0") && value.isWellFormed(), "NUL or a lone surrogate"),
  );
export const text = textUpTo(limits.textBytesMax);
export const note = v.pipe(textUpTo(limits.noteBytesMax), v.regex(/^\P{Cc}*$/u));
export const name = v.pipe(
  v.string(),
  v.regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/),
  v.maxLength(limits.nameBytesMax),
);

/** Of bytes; exact in a JavaScript number. */
export const offset = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
export const durationMs = v.pipe(v.number(), v.safeInteger(), v.minValue(1));
