import { readdirSync, readFileSync, readlinkSync } from "node:fs";

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
  const inodes = listeningInodes(protocol, port);
  if (inodes.size === 0) return undefined;
  const pids = list("/proc")
    .filter((name) => /^\d+$/.test(name))
    .slice(0, processesMax);
  const pid = pids.find((each) =>
    list(`/proc/${each}/fd`).some((fd) => inodes.has(linkOf(`/proc/${each}/fd/${fd}`))),
  );
  if (pid === undefined) return undefined;
  return { pid: Number(pid), name: textOf(`/proc/${pid}/comm`).trim() };
}

/** As links of descriptors show them: "socket:[12345]". */
function listeningInodes(protocol: "tcp" | "udp", port: number): ReadonlySet<string> {
  const wanted = port.toString(16).toUpperCase().padStart(4, "0");
  const listening = protocol === "tcp" ? "0A" : "07";
  const inodes = ["", "6"]
    .flatMap((family) => textOf(`/proc/net/${protocol}${family}`).split("\n").slice(1))
    .map((line) => line.trim().split(/\s+/))
    .filter(([, local = "", , state]) => local.endsWith(`:${wanted}`) && state === listening)
    .map((fields) => `socket:[${fields[9] ?? ""}]`);
  return new Set(inodes);
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return "";
  }
}

function textOf(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
