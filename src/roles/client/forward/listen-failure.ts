import { isIP } from "node:net";
import { dirname } from "node:path";
import { Failure } from "../../../cli/failure.ts";
import { shellWord } from "../../../cli/shell-word.ts";
import { printableLine } from "../../../protocol/printable-line.ts";
import { listeningSockets } from "../../../system/listening-sockets.ts";
import { portHolder } from "../../../system/port-holder.ts";
import { listenTcp } from "../../../system/tcp-stream.ts";
import { type ForwardEnd, type ForwardSpec, showEnd } from "./forward-spec.ts";
import { clientLimits } from "../limits.ts";

/** Why a local end could not be opened, who has it, and what to do instead. */
export function cannotListen(spec: ForwardSpec, end: ForwardEnd, code: string): Failure {
  if (end.kind === "unix") return cannotListenAt(end.path, code);
  if (code === "EADDRINUSE")
    return new Failure("FV-FWD-001", `port ${end.port} on this computer is in use`, {
      because: `${holderOf(end)} listens on it`,
      fix: `choose another one:  ${withPort(spec, end, nextFreePort(end))}`,
    });
  const low = `ports below 1024 need root; use  ${withPort(spec, end, end.port + 8000)}`;
  const details: Readonly<Record<string, { readonly because: string; readonly fix: string }>> = {
    EACCES: { because: "EACCES", fix: low },
    EADDRNOTAVAIL: {
      because: `${end.host} is no address of this computer (EADDRNOTAVAIL)`,
      fix: "`ip address` shows those it has; 127.0.0.1 is always one",
    },
  };
  // What resolves names says no more of those it does not know.
  const nameless = isIP(end.host) === 0 ? `"${end.host}" leads to no address here` : code;
  const known = details[code] ?? { because: code === "EIO" ? nameless : code };
  return new Failure("FV-FWD-002", `cannot listen on ${showEnd(end)}`, known);
}

function cannotListenAt(path: string, code: string): Failure {
  if (code === "EADDRINUSE")
    return new Failure("FV-FWD-001", `"${path}" is there already`, {
      because: "a forward never replaces a file, nor a socket that somebody listens on",
      fix: `choose another path, or remove it:  rm ${shellWord(path)}`,
    });
  const folder = dirname(path);
  const details: Readonly<Record<string, { readonly because: string; readonly fix: string }>> = {
    ENOENT: {
      because: `there is no folder ${folder}`,
      fix: `make it:  mkdir -p ${shellWord(folder)}`,
    },
    ENOTDIR: { because: `${folder} is no folder`, fix: "choose another path" },
    EACCES: {
      because: `this user may make no socket in ${folder} (EACCES)`,
      fix: "choose a path in a folder of yours",
    },
  };
  return new Failure(
    "FV-FWD-002",
    `cannot listen on "${path}"`,
    details[code] ?? { because: code },
  );
}

function holderOf(end: InetEnd): string {
  const holder = portHolder(end.kind, end.port, clientLimits.holderProcessesMax);
  return holder === undefined
    ? "another program"
    : `"${printableLine(holder.name, 64)}" (pid ${holder.pid})`;
}

type InetEnd = Extract<ForwardEnd, { readonly port: number }>;

/** The flag that would do the same from another port. */
function withPort(spec: ForwardSpec, end: InetEnd, port: number): string {
  const bind = spec.bindGiven ? `${end.host.includes(":") ? `[${end.host}]` : end.host}:` : "";
  const { target } = spec;
  if (target === undefined) return `-D ${bind}${port}`;
  if (target.kind === "unix") return `-L ${bind}${port}:${target.path}`;
  // Of a range the one that is in the way.
  const offset = spec.listen.kind === "unix" ? 0 : end.port - spec.listen.port;
  const host = target.host.includes(":") ? `[${target.host}]` : target.host;
  const suffix = target.kind === "udp" ? "/udp" : "";
  return `-L ${bind}${port}:${host}:${target.port + offset}${suffix}`;
}

function nextFreePort({ host, port, kind }: InetEnd): number {
  const taken = kind === "udp" ? udpPorts() : noPorts;
  for (let next = port + 1; next < Math.min(port + clientLimits.portsTriedMax, 65_536); next += 1) {
    if (taken.has(next)) continue;
    if (kind === "udp") return next;
    try {
      listenTcp({ host, port: next }, { onConnection: (stream) => stream.abort(0) }).close();
      return next;
    } catch {
      // Taken too.
    }
  }
  return port > 32_768 ? port - 1024 : port + 1024;
}

/** To bind one would not be over at once. */
function udpPorts(): ReadonlySet<number> {
  return new Set(listeningSockets("udp").map((socket) => socket.port));
}

const noPorts: ReadonlySet<number> = new Set();
