const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8");
const ellipsisBytes = 3;

/** Words that end up on somebody's terminal: nothing that moves the cursor or turns the text, and no end of their own choosing. */
export function printableLine(words: string, bytesMax: number): string {
  const printable = words
    .slice(0, bytesMax)
    .toWellFormed()
    .replaceAll(/[\p{Cc}\p{Cf}\u2028\u2029]+/gu, " ");
  const bytes = encoder.encode(printable);
  if (words.length <= bytesMax && bytes.length <= bytesMax) return printable;
  const kept = decoder.decode(bytes.subarray(0, bytesMax - ellipsisBytes));
  return `${kept.replace(/\u{FFFD}+$/u, "")}…`;
}
