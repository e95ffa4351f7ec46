import type { ForwardKind } from "./forward-spec.ts";

/** Forwards that may be changed while a session runs. */
export interface LiveForwards {
  /** One line for each, to be shown. */
  readonly lines: readonly string[];
  /** Gives the new one's line. Rejects with words for the person who asked. */
  add(kind: ForwardKind, spec: string): Promise<string>;
  /** By where it listens; gives its line. Rejects as `add` does. */
  remove(listen: string, kind?: ForwardKind): Promise<string>;
}

/** Does what a line of `~C` says, as with ssh, and gives what to answer. Rejects as `add` does. */
export async function runForwardLine(line: string, forwards: LiveForwards): Promise<string> {
  const match = /^\s*-(K?)([LRD])\s*(\S+)\s*$/.exec(line);
  const [, removes, kind, spec] = match ?? [];
  if (kind === undefined || spec === undefined) return forwardLineHelp;
  if (removes === "") return forwards.add(kind as ForwardKind, spec);
  return `no longer forwarded: ${await forwards.remove(spec, kind as ForwardKind)}`;
}

const forwardLineHelp = [
  "-L [BIND:]LOCAL:HOST:PORT   forward a port of this computer",
  "-R [BIND:]REMOTE:HOST:PORT  forward a port of the machine",
  "-D [BIND:]LOCAL             SOCKS proxy on this computer",
  "-KL PORT                    stop one; -KR, -KD",
].join("\r\n");
