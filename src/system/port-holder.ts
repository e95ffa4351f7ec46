import { listeningSockets } from "./listening-sockets.ts";
import { linkOf, namesIn, textOf } from "./proc-files.ts";

export interface PortHolder {
  readonly pid: number;
  readonly name: string;
}

/**
 * Which process listens on a port of this computer, as far as /proc shows it to us: a process of
 * somebody else, or another system than Linux, shows nothing.
 */
export function portHolder(
  protocol: "tcp" | "udp",
  port: number,
  processesMax: number,
): PortHolder | undefined {
  const links = new Set(
    listeningSockets(protocol)
      .filter((socket) => socket.port === port)
      .map(({ link }) => link),
  );
  if (links.size === 0) return undefined;
  const pids = namesIn("/proc")
    .filter((name) => /^\d+$/.test(name))
    .slice(0, processesMax);
  const pid = pids.find((each) =>
    namesIn(`/proc/${each}/fd`).some((fd) => links.has(linkOf(`/proc/${each}/fd/${fd}`))),
  );
  if (pid === undefined) return undefined;
  return { pid: Number(pid), name: textOf(`/proc/${pid}/comm`).trim() };
}
