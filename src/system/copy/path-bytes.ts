/** Paths as bytes, which need not be text on Linux. */

export function joinPath(folder: Uint8Array, name: Uint8Array): Buffer {
  if (folder.length === 0) return Buffer.from(name);
  const separator = folder.at(-1) === slash ? [] : [slashBytes];
  return Buffer.concat([folder, ...separator, name]);
}

export function basenameOf(path: Uint8Array): Buffer {
  const end = endOf(path);
  return Buffer.from(path.subarray(path.lastIndexOf(slash, end - 1) + 1, end));
}

/** Of a name alone it is ".". */
export function dirnameOf(path: Uint8Array): Buffer {
  const end = endOf(path);
  const at = path.lastIndexOf(slash, end - 1);
  if (at < 0) return Buffer.from(".");
  return Buffer.from(path.subarray(0, Math.max(at, 1)));
}

export function endsInSlash(path: Uint8Array): boolean {
  return path.at(-1) === slash;
}

/** The name of what is in a folder, without the folder. */
export function isDot(name: Uint8Array): boolean {
  return name.length === 1 && name[0] === 0x2e;
}

/** For people. */
export function pathText(path: Uint8Array): string {
  return Buffer.from(path.buffer, path.byteOffset, path.length).toString("utf8");
}

/** Without the slashes at its end. */
function endOf(path: Uint8Array): number {
  let end = path.length;
  while (end > 1 && path[end - 1] === slash) end -= 1;
  return end;
}

const slash = 0x2f;
const slashBytes = Buffer.from("/");
