import { readFileSync } from "node:fs";

export type Direction = "up" | "down";

/** One way of moving bytes between two processes on this machine. */
export interface Subject extends AsyncDisposable {
  readonly name: string;
  /** How much to move per run: the slow ones get less. */
  readonly megabytes: number;
  /** From nothing to a usable connection. */
  connect(): Promise<void>;
  /** Moves `bytes` on each of `streams` at once, and returns once the far end has them all. */
  transfer(direction: Direction, streams: number, bytes: number): Promise<void>;
  /** User and system time of both processes so far. */
  cpuSeconds(): number;
}

/** What the near end asks of the far end, in the first 9 bytes of a stream: direction and size. */
export function request(direction: Direction, bytes: number): Uint8Array {
  const head = new Uint8Array(9);
  head[0] = direction === "up" ? 1 : 2;
  new DataView(head.buffer).setFloat64(1, bytes);
  return head;
}

export const chunk = new Uint8Array(64 * 1024);
export const requestBytes = 9;

/** The far end's part on one stream: swallow until the end and say so, or send what was asked for. */
export async function serve(stream: {
  read(): Promise<Uint8Array | null>;
  write(bytes: Uint8Array): Promise<void>;
  end(): Promise<void>;
}): Promise<void> {
  let head = new Uint8Array(0);
  while (head.byteLength < requestBytes) {
    const part = await stream.read();
    if (part === null) return;
    head = new Uint8Array(Buffer.concat([head, part]));
  }
  if (head[0] === 1) {
    while ((await stream.read()) !== null);
  } else {
    const bytes = new DataView(head.buffer).getFloat64(1);
    for (let sent = 0; sent < bytes; sent += chunk.byteLength) await stream.write(chunk);
    await stream.end();
    // A stream counts until both ends were read; the far side allows no other in its place before.
    while ((await stream.read()) !== null);
    return;
  }
  await stream.end();
}

/** The near end's part. */
export async function ask(
  stream: Parameters<typeof serve>[0],
  direction: Direction,
  bytes: number,
): Promise<void> {
  await stream.write(request(direction, bytes));
  if (direction === "up") {
    for (let sent = 0; sent < bytes; sent += chunk.byteLength) await stream.write(chunk);
    await stream.end();
    while ((await stream.read()) !== null);
    return;
  }
  let got = 0;
  for (let part = await stream.read(); part !== null; part = await stream.read()) {
    got += part.byteLength;
  }
  if (got < bytes) throw new Error(`Only ${got} of ${bytes} bytes arrived`);
  await stream.end();
}

/** User and system time of a process and of its ended children, from the kernel. */
export function childCpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const ticks = fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0);
  return ticks / 100;
}

export function ownCpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}
