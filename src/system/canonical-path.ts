import { lstatSync, readlinkSync } from "node:fs";

/**
 * Where an absolute path leads, links followed; its last part need not be there. By hand: Bun's own way
 * (realpath) asks /proc about the process, and that of a guest does not know ours. Throws what the system says.
 */
export function canonicalPath(path: Buffer): Buffer {
  const rest = split(path);
  let done: Buffer[] = [];
  let links = 0;
  for (let part = rest.shift(); part !== undefined; part = rest.shift()) {
    if (part.equals(parent)) {
      done.pop();
      continue;
    }
    const here = join([...done, part]);
    const stats = lstatSync(here, { throwIfNoEntry: rest.length > 0 });
    if (stats?.isSymbolicLink() !== true) {
      done.push(part);
      continue;
    }
    links += 1;
    if (links > linksMax) throw Object.assign(new Error("Too many links"), { code: "ELOOP" });
    const target = readlinkSync(here, "buffer");
    if (target[0] === slash) done = [];
    rest.unshift(...split(target));
  }
  return join(done);
}

/** As many as Linux follows: path_resolution(7). */
export const linksMax = 40;
const slash = 0x2f;
const parent = Buffer.from("..");
const here = Buffer.from(".");

function split(path: Buffer): Buffer[] {
  const parts: Buffer[] = [];
  for (let from = 0; from <= path.length;) {
    const found = path.indexOf(slash, from);
    const end = found === -1 ? path.length : found;
    const part = path.subarray(from, end);
    if (part.length > 0 && !part.equals(here)) parts.push(part);
    from = end + 1;
  }
  return parts;
}

function join(parts: readonly Buffer[]): Buffer {
  if (parts.length === 0) return Buffer.from("/");
  return Buffer.concat(parts.flatMap((part) => [Buffer.from("/"), part]));
}
