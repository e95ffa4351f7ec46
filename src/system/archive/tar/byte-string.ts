/**
 * Names in archives are bytes, not text: two different ones may decode to the same UTF-8 text. They
 * travel as strings of one character per byte, which compare, hash and split exactly like the bytes.
 */
export type ByteString = string;

export function byteString(bytes: Uint8Array): ByteString {
  return view(bytes).toString("latin1");
}

/** The bytes up to the first zero, or all of them. */
export function byteStringToZero(bytes: Uint8Array): ByteString {
  const end = bytes.indexOf(0);
  return byteString(end === -1 ? bytes : bytes.subarray(0, end));
}

export function bytesOf(text: ByteString): Buffer<ArrayBuffer> {
  return Buffer.from(text, "latin1");
}

/** For people: UTF-8 where it is that, control characters and strangers escaped, long names cut in the middle. */
export function printable(text: ByteString, charactersMax = 160): string {
  const decoded = bytesOf(text).toString("utf8");
  const escaped = decoded.replaceAll(
    /[\p{Cc}\p{Cf}\uFFFD]/gu,
    (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`,
  );
  if (escaped.length <= charactersMax) return escaped;
  const half = Math.floor(charactersMax / 2) - 1;
  return `${escaped.slice(0, half)}…${escaped.slice(-half)}`;
}

function view(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes)
    ? bytes
    : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
