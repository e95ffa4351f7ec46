/**
 * Words of others for a terminal: without control characters, and without what cannot be seen or turns
 * the direction of writing round. Line breaks go, too, so that no name can pass for a line of its own.
 */
export function printable(words: string): string {
  return words.replaceAll(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, " ");
}
