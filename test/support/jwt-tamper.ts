/** Small damages to a token. */

/** 256 bytes leave four bits unused in the last character. */
export function flippedTail(token: string): string {
  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  const last = alphabet.indexOf(token.at(-1) ?? "");
  return `${token.slice(0, -1)}${alphabet.charAt(last ^ 1)}`;
}

/** One bit of the part is another. */
export function changedByte(part: string): string {
  const bytes = Buffer.from(part, "base64url");
  bytes[100] = (bytes[100] ?? 0) ^ 1;
  return bytes.toString("base64url");
}

export function nested(depth: number): string {
  return `${'{"a":'.repeat(depth)}1${"}".repeat(depth)}`;
}
