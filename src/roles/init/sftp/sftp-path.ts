/** Names are bytes here; a relative one starts at the user's home. Throws `RangeError` for what is no name. */
export function absolutePath(path: Buffer, home: string): Buffer {
  if (path.includes(0)) throw new RangeError("A name with NUL");
  if (path[0] === slash) return path;
  return Buffer.concat([Buffer.from(home), Buffer.from("/"), path]);
}

const slash = 0x2f;
