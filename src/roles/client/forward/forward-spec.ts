import { limits } from "../../../protocol/limits.ts";
import { clientLimits } from "../limits.ts";

/** Local (`-L`): listens here. Remote (`-R`): listens in the vault. Dynamic (`-D`): a SOCKS proxy here. */
export type ForwardKind = "L" | "R" | "D";

/** An end of a forward; with `count` above 1, so many ports in a row. */
export type ForwardEnd =
  | {
      readonly kind: "tcp" | "udp";
      readonly host: string;
      readonly port: number;
      readonly count: number;
    }
  | { readonly kind: "unix"; readonly path: string };

export interface ForwardSpec {
  readonly kind: ForwardKind;
  /** As it was written. */
  readonly text: string;
  readonly listen: ForwardEnd;
  /** Who listens where no address was given depends on `--gateway`. */
  readonly bindGiven: boolean;
  /** Absent of a dynamic one: whoever connects says it. */
  readonly target: ForwardEnd | undefined;
}

/** What is wrong with a spec, for the person who wrote it. */
export class ForwardSpecError extends Error {
  override readonly name = "ForwardSpecError";
}

/** As in OpenSSH: docs/forwards.md has all the forms. Throws `ForwardSpecError`. */
export function parseForward(kind: ForwardKind, text: string): ForwardSpec {
  const { body, protocol } = splitProtocol(kind, text);
  const fields = splitFields(body);
  checkSpaces(fields);
  if (kind === "D") return dynamicSpec(text, fields);
  const [listenFields, targetFields] = divide(fields);
  const listen = listenEnd(listenFields, protocol, kind === "R");
  const target = targetEnd(targetFields, listen, protocol);
  const bindGiven = listenFields.length === 2;
  checkPair(kind, listen, target);
  return { kind, text, listen, bindGiven, target };
}

/** What is wrong with it, if anything. */
export function forwardMistake(kind: ForwardKind, spec: string): string | undefined {
  try {
    parseForward(kind, spec);
    return undefined;
  } catch (error) {
    if (error instanceof ForwardSpecError) return error.message;
    throw error;
  }
}

/** `HOST:PORT` or `/path`, for `-W`. Throws `ForwardSpecError`. */
export function parseTarget(text: string): ForwardEnd {
  const fields = splitFields(text);
  if (fields.length === 1 && isPath(fields[0] ?? "")) return unixEnd(fields[0] ?? "");
  if (fields.length !== 2) throw new ForwardSpecError("is not HOST:PORT or a path of a socket");
  const end = inetEnd("tcp", fields[0] ?? "", fields[1] ?? "", 1);
  if (countOf(end) !== 1) throw new ForwardSpecError("names more than one port");
  return end;
}

/** Whether only the computer itself can connect there. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127\.\d+\.\d+\.\d+$/.test(host);
}

export function countOf(end: ForwardEnd): number {
  return end.kind === "unix" ? 1 : end.count;
}

/** The one of them that is so far behind the first. */
export function endAt(end: ForwardEnd, index: number): ForwardEnd {
  // Port 0 stands for any.
  if (end.kind === "unix" || end.port === 0) return end;
  return { ...end, port: end.port + index, count: 1 };
}

/** As in "127.0.0.1:8000-8010", "[::1]:53/udp" or "/run/x.sock"; the inverse of what is read. */
export function showEnd(end: ForwardEnd): string {
  if (end.kind === "unix") return end.path;
  return `${bracketed(end.host)}:${showPorts(end)}`;
}

export function showPorts(end: ForwardEnd): string {
  if (end.kind === "unix") return end.path;
  const range = end.count === 1 ? "" : `-${end.port + end.count - 1}`;
  return `${end.port}${range}${end.kind === "udp" ? "/udp" : ""}`;
}

/** `--gateway`: others may connect. Throws `ForwardSpecError` where a spec wants that and it was not said. */
export function withGateway(spec: ForwardSpec, gateway: boolean): ForwardSpec {
  const { listen, bindGiven } = spec;
  if (listen.kind === "unix") return spec;
  if (gateway) return bindGiven ? spec : { ...spec, listen: { ...listen, host: everyAddress } };
  if (isLoopback(listen.host)) return spec;
  const whose = spec.kind === "R" ? "the vault" : "this computer";
  throw new ForwardSpecError(
    `listens on ${listen.host === everyAddress ? "every address" : listen.host}, where others than ${whose} can connect: say --gateway if that is meant`,
  );
}

function splitProtocol(
  kind: ForwardKind,
  text: string,
): { readonly body: string; readonly protocol: "tcp" | "udp" } {
  if (text === "") throw new ForwardSpecError("is empty");
  if (/\p{Cc}/u.test(text)) throw new ForwardSpecError("has a control character in it");
  const first = /^(tcp|udp)[/:](.+)$/i.exec(text);
  if (first !== null) throw meant(`${first[2]}/${first[1]?.toLowerCase()}`);
  const [, body = text, word] = /^(.*\d)\/([a-z]+)$/i.exec(text) ?? [];
  if (word === undefined) return { body: text, protocol: "tcp" };
  const protocol = word.toLowerCase();
  // The last part of a path, not a protocol.
  if (body.slice(body.lastIndexOf(":") + 1).includes("/")) return { body: text, protocol: "tcp" };
  if (protocol !== "tcp" && protocol !== "udp")
    throw new ForwardSpecError(`ends with /${word}: only /udp and /tcp are known`);
  if (protocol === "udp" && kind !== "L")
    throw new ForwardSpecError("is of UDP, which is forwarded by -L alone");
  return { body, protocol };
}

/** At colons; those of an IPv6 address are in brackets. */
function splitFields(text: string): string[] {
  const fields: string[] = [];
  let rest = text;
  for (;;) {
    const match = /^(?:\[([^\]]*)\]|([^:[\]]*))(:|$)/.exec(rest);
    if (match === null)
      throw new ForwardSpecError("has a bracket out of place: [::1]:3000:localhost:3000");
    const address = match[1];
    if (address !== undefined && !/^[0-9a-fA-F]*:[0-9a-fA-F:.]*$/.test(address))
      throw new ForwardSpecError(`has brackets around "${address}": they are for IPv6 addresses`);
    fields.push(address ?? match[2] ?? "");
    rest = rest.slice(match[0].length);
    if (match[3] === "") break;
  }
  if (text.includes("::") && !text.includes("["))
    throw new ForwardSpecError(
      "seems to hold an IPv6 address: put it in brackets, as in [::1]:3000",
    );
  if (fields.length > 4)
    throw new ForwardSpecError(`has ${fields.length} parts, at most BIND:PORT:HOST:PORT`);
  return fields;
}

/** Inside a path they are part of a name. */
function checkSpaces(fields: readonly string[]): void {
  for (const field of fields)
    if (isPath(field) ? field !== field.trim() : /\s/u.test(field))
      throw new ForwardSpecError("has a space in it");
}

/** Where the part that listens ends. A path is an end by itself, a host goes with a port. */
function divide(fields: readonly string[]): readonly [readonly string[], readonly string[]] {
  const [first = "", second = "", third = ""] = fields;
  if (fields.length === 2 && /^[A-Za-z]/.test(first) && /^\d+$/.test(second))
    throw new ForwardSpecError(
      `has a host and one port (did you mean ${second}:${first}:${second}?)`,
    );
  switch (fields.length) {
    case 1:
      return [fields, []];
    case 2:
      return [fields.slice(0, 1), fields.slice(1)];
    case 3:
      return isPath(third) && !isPath(first)
        ? [fields.slice(0, 2), fields.slice(2)]
        : [fields.slice(0, 1), fields.slice(1)];
    default:
      return [fields.slice(0, 2), fields.slice(2)];
  }
}

function listenEnd(
  fields: readonly string[],
  protocol: "tcp" | "udp",
  isRemote: boolean,
): ForwardEnd {
  const [first = "", second] = fields;
  if (second !== undefined) return inetEnd(protocol, bindHost(first), second, 0);
  if (isPath(first)) return unixEnd(first);
  if (first === "" || /^[A-Za-z*]/.test(first))
    throw new ForwardSpecError(
      `begins with "${first}" where ${isRemote ? "the port in the vault" : "the local port"} should be: PORT:HOST:PORT`,
    );
  return inetEnd(protocol, "127.0.0.1", first, 0);
}

function bindHost(text: string): string {
  return text === "" || text === "*" ? everyAddress : text;
}

function targetEnd(
  fields: readonly string[],
  listen: ForwardEnd,
  protocol: "tcp" | "udp",
): ForwardEnd {
  const [first, second] = fields;
  if (first === undefined) {
    if (listen.kind === "unix")
      throw new ForwardSpecError("lacks its target: /local.sock:/remote.sock");
    if (listen.port === 0) throw new ForwardSpecError("lacks its target: 0:HOST:PORT");
    return { ...listen, host: "localhost" };
  }
  if (second !== undefined) return inetEnd(protocol, first, second, 1);
  if (isPath(first)) return unixEnd(first);
  return inetEnd(protocol, "localhost", first, 1);
}

function dynamicSpec(text: string, fields: readonly string[]): ForwardSpec {
  if (fields.length > 2)
    throw new ForwardSpecError("names a target: a dynamic forward is PORT or BIND:PORT");
  const [first = "", second] = fields;
  if (isPath(first))
    throw new ForwardSpecError("is a path: a dynamic forward is PORT or BIND:PORT");
  const listen =
    second === undefined
      ? inetEnd("tcp", "127.0.0.1", first, 0)
      : inetEnd("tcp", bindHost(first), second, 0);
  if (countOf(listen) !== 1) throw new ForwardSpecError("names more than one port");
  return { kind: "D", text, listen, bindGiven: second !== undefined, target: undefined };
}

function checkPair(kind: ForwardKind, listen: ForwardEnd, target: ForwardEnd): void {
  const isUdp = listen.kind === "udp" || target.kind === "udp";
  if (isUdp && (listen.kind === "unix" || target.kind === "unix"))
    throw new ForwardSpecError("joins UDP and a Unix socket");
  if (countOf(listen) !== countOf(target))
    throw new ForwardSpecError(
      `has ${countOf(listen)} ports that listen and ${countOf(target)} to reach`,
    );
  if (kind === "R" && countOf(listen) > clientLimits.remotePortsMax)
    throw new ForwardSpecError(
      `has ${countOf(listen)} ports in the vault, at most ${clientLimits.remotePortsMax}`,
    );
}

function inetEnd(
  kind: "tcp" | "udp",
  host: string,
  ports: string,
  least: 0 | 1,
): Extract<ForwardEnd, { readonly kind: "tcp" | "udp" }> {
  if (host === "") throw new ForwardSpecError("lacks a host: PORT:HOST:PORT");
  if (host.includes("/")) throw new ForwardSpecError(`has "${host}" where a host should be`);
  if (new TextEncoder().encode(host).length > limits.hostBytesMax)
    throw new ForwardSpecError(`has a host of more than ${limits.hostBytesMax} bytes`);
  refuseOtherThanPorts(ports);
  const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(ports);
  if (match === null)
    throw new ForwardSpecError(
      ports === "" ? "lacks a port" : `has "${ports}" where a port should be`,
    );
  const port = Number(match[1]);
  const last = Number(match[2] ?? match[1]);
  if (port < least || last > 65_535)
    throw new ForwardSpecError(`has port ${port < least ? port : last}: ports are 1 to 65535`);
  if (last < port) throw new ForwardSpecError(`has the range ${ports}, which runs backwards`);
  if (port === 0 && last !== 0) throw new ForwardSpecError("has a range that begins at port 0");
  if (last - port >= clientLimits.forwardPortsMax)
    throw new ForwardSpecError(
      `has a range of ${last - port + 1} ports, at most ${clientLimits.forwardPortsMax}`,
    );
  return { kind, host, port, count: last - port + 1 };
}

/** What is written there instead, and can be told. */
function refuseOtherThanPorts(ports: string): void {
  const arrow = /^(\d+)\s*(?:->|=>|=|,|\/|\.\.)\s*(\d+)$/.exec(ports);
  if (arrow !== null)
    throw new ForwardSpecError(
      `has "${ports}" where a port should be (did you mean ${arrow[1]}:${arrow[2]} or ${arrow[1]}-${arrow[2]}?)`,
    );
  if (ports.includes("/"))
    throw new ForwardSpecError(`has the path "${ports}", which does not begin with a slash`);
}

function unixEnd(path: string): ForwardEnd {
  const bytes = new TextEncoder().encode(path).length;
  if (bytes > clientLimits.socketPathBytesMax)
    throw new ForwardSpecError(
      `has a path of ${bytes} bytes: sockets have at most ${clientLimits.socketPathBytesMax}`,
    );
  if (path.endsWith("/"))
    throw new ForwardSpecError(`has the path "${path}", which is of a folder`);
  return { kind: "unix", path };
}

function isPath(text: string): boolean {
  return text.startsWith("/");
}

function meant(text: string): ForwardSpecError {
  return new ForwardSpecError(`has the protocol in front (did you mean ${text}?)`);
}

function bracketed(host: string): string {
  return host.includes(":") ? `[${host}]` : host;
}

/** Of both families. */
const everyAddress = "::";
