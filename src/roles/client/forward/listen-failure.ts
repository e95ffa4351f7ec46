import { Failure } from "../../../cli/failure.ts";
import { printableLine } from "../../../protocol/printable-line.ts";
import { portHolder } from "../../../system/port-holder.ts";
import { listenTcp } from "../../../system/tcp-stream.ts";
import { type ForwardEnd, type ForwardSpec, showEnd } from "./forward-spec.ts";
import { clientLimits } from "../limits.ts";

/** Why a local end could not be opened, who has it, and what to do instead. */
export function cannotListen(spec: ForwardSpec, end: ForwardEnd, code: string): Failure {
  const where = showEnd(end);
  if (end.kind === "unix")
    return code === "EADDRINUSE"
      ? new Failure("FV-FWD-001", `"${where}" is there already`, {
          because: "a forward never replaces a file, nor a socket that somebody listens on",
          fix: `choose another path, or remove it:  rm ${where}`,
        })
      : new Failure("FV-FWD-002", `cannot listen on "${where}"`, { because: code });
  if (code === "EADDRINUSE") {
    const holder = portHolder(end.kind, end.port, clientLimits.holderProcessesMax);
    const who =
      holder === undefined
        ? "another program"
        : `"${printableLine(holder.name, 64)}" (pid ${holder.pid})`;
    return new Failure("FV-FWD-001", `port ${end.port} on this computer is in use`, {
      because: `${who} listens on it`,
      fix: `choose another one:  ${withPort(spec, end, nextFreePort(end))}`,
    });
  }
  return new Failure("FV-FWD-002", `cannot listen on ${where}`, {
    because: code,
    ...(code === "EACCES"
      ? { fix: `ports below 1024 need root; use  ${withPort(spec, end, end.port + 8000)}` }
      : {}),
  });
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
  for (let next = port + 1; next < Math.min(port + clientLimits.portsTriedMax, 65_536); next += 1) {
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
