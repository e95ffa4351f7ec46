import type { FileEntry, FileMessage } from "../../../src/protocol/file-message.ts";
import type { TreeSink } from "../../../src/system/copy/tree-sink.ts";

/** What a machine says that means harm. */
export const folder = (id: number, parent: number, name: string): FileMessage =>
  entry(id, parent, name, "folder");
export const file = (id: number, parent: number, name: string): FileMessage =>
  entry(id, parent, name, "file");

export function entry(
  id: number,
  parent: number,
  name: string,
  kind: FileEntry["kind"],
): FileMessage {
  const facts = { mode: 0o6755, seconds: 0, nanoseconds: 0, size: 0, digest: undefined };
  const target = Buffer.from(kind === "link" ? "/tmp" : "");
  return { type: "entry", entry: { id, parent, kind, name: Buffer.from(name), target, ...facts } };
}

export function drain(sink: TreeSink): FileMessage[] {
  const said: FileMessage[] = [];
  for (let message = sink.next(); message !== undefined; message = sink.next())
    if (message !== "working") said.push(message);
  return said;
}

export function small(id: number, name: string, size: number): FileMessage {
  const message = file(id, 0, name);
  if (message.type !== "entry") throw new Error("No entry");
  return { type: "entry", entry: { ...message.entry, size, digest: Buffer.alloc(32) } };
}

export function sized(id: number, name: string, size: number, mode = 0o6755): FileMessage {
  const message = file(id, 0, name);
  if (message.type !== "entry") throw new Error("No entry");
  return { type: "entry", entry: { ...message.entry, size, mode } };
}
