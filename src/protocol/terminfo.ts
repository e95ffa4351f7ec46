/** Compiled terminal descriptions (term(5)), as far as two computers need to agree on them. */

/** Also the name of its file: nothing that could lead elsewhere. */
export function isTerminalName(name: string): boolean {
  return /^[A-Za-z0-9][A-Za-z0-9+._-]{0,63}$/.test(name);
}

/** Whether the header is one of the two kinds there are, and all it announces is there. */
export function isTerminfo(bytes: Uint8Array): boolean {
  if (bytes.length < headerBytes) return false;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const word = (index: number): number => view.getUint16(index * 2, true);
  const numberBytes = numberBytesOf.get(word(0));
  if (numberBytes === undefined) return false;
  const [names, flags, numbers, strings, table] = [word(1), word(2), word(3), word(4), word(5)];
  const odd = (names + flags) % 2;
  return (
    names > 0 &&
    headerBytes + names + flags + odd + numbers * numberBytes + strings * 2 + table <= bytes.length
  );
}

const headerBytes = 12;
/** By magic number: the old kind, and that of ncurses 6.1 for numbers beyond 32767. */
const numberBytesOf: ReadonlyMap<number, number> = new Map([
  [0x011a, 2],
  [0x021e, 4],
]);
