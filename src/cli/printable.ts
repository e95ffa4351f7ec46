/**
 * Words of others for a terminal: without control characters, and without what turns the direction of
 * writing round. Line breaks go, too, so that no name can pass for a line of its own.
 */
export function printable(words: string): string {
  return words.replaceAll(/[\p{Cc}\u200E\u200F\u202A-\u202E\u2066-\u2069]/gu, " ");
}
