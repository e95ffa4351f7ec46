/** Forwards that may be changed while a session runs. */
export interface LiveForwards {
  /** One line for each, to be shown. */
  readonly lines: readonly string[];
  /** Rejects with words for the person who asked; else gives the new one's line. */
  add(kind: ForwardKind, spec: string): Promise<string>;
  /** False when nothing listens there: `PORT` or `HOST:PORT` of this computer. */
  remove(listen: string): boolean;
}

export type ForwardKind = "L" | "R" | "D";

/** Does what a line of `~C` says, as with ssh, and gives what to answer. Rejects as `add` does. */
export async function runForwardLine(line: string, forwards: LiveForwards): Promise<string> {
  const match = /^\s*-(K?)([LRD])\s*(\S+)\s*$/.exec(line);
  const [, removes, kind, spec] = match ?? [];
  if (kind === undefined || spec === undefined) return forwardLineHelp;
  if (removes === "") return forwards.add(kind as ForwardKind, spec);
  return forwards.remove(spec) ? `no longer forwarded: ${spec}` : `nothing listens on ${spec}`;
}

const forwardLineHelp = [
  "-L [BIND:]LOCAL:HOST:PORT   forward a port of this computer",
  "-R [BIND:]REMOTE:HOST:PORT  forward a port of the machine",
  "-D [BIND:]LOCAL             SOCKS proxy on this computer",
  "-KL PORT                    stop one",
].join("\r\n");
