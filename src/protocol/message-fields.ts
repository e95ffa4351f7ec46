import * as v from "valibot";
import { limits } from "./limits.ts";

/** What members of messages are made of. */

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
export const offset = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
export const size = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65_535));
export const sha256 = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/));
export const envName = v.pipe(
  text,
  v.minLength(1),
  v.check((value) => !value.includes("="), "An environment name with ="),
);
export const argv = v.pipe(v.array(text), v.minLength(1), v.maxLength(limits.argvItemsMax));
export const signal = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(64));
export const durationMs = v.pipe(v.number(), v.safeInteger(), v.minValue(1));

export const terminalMode = v.tuple([
  v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(159)),
  v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(0xffff_ffff)),
]);
