/** What listens here and what is reached there. */
export interface Forward {
  readonly bind: string;
  readonly localPort: number;
  readonly host: string;
  readonly port: number;
}

/**
 * `PORT`, `LOCAL:PORT`, `LOCAL:HOST:PORT`, `BIND:LOCAL:HOST:PORT`; IPv6 stands in brackets. Without
 * BIND the listener is on 127.0.0.1. Undefined for anything else.
 */
export function parseForward(spec: string): Forward | undefined {
  const fields = splitFields(spec);
  if (fields === undefined) return undefined;
  const [first = "", second = "", third = "", fourth = ""] = fields;
  switch (fields.length) {
    case 1:
      return build("127.0.0.1", first, "localhost", first);
    case 2:
      return build("127.0.0.1", first, "localhost", second);
    case 3:
      return build("127.0.0.1", first, second, third);
    case 4:
      return build(first, second, third, fourth);
    default:
      return undefined;
  }
}

/** As in "127.0.0.1:3000 -> localhost:3000". */
export function showForward(forward: Forward): string {
  const { bind, localPort, host, port } = forward;
  return `${bracketed(bind)}:${localPort} -> ${bracketed(host)}:${port}`;
}

function splitFields(spec: string): string[] | undefined {
  const fields: string[] = [];
  let rest = spec;
  for (;;) {
    const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]\s]+))(:|$)/.exec(rest);
    if (match === null) return undefined;
    fields.push(match[1] ?? match[2] ?? "");
    rest = rest.slice(match[0].length);
    if (match[3] === "") return fields;
    // A colon with nothing behind it.
    if (rest === "") return undefined;
  }
}

function build(bind: string, local: string, host: string, port: string): Forward | undefined {
  const localPort = portNumber(local);
  const remotePort = portNumber(port);
  if (localPort === undefined || remotePort === undefined) return undefined;
  return { bind, localPort, host, port: remotePort };
}

function portNumber(text: string): number | undefined {
  if (!/^\d{1,5}$/.test(text)) return undefined;
  const port = Number(text);
  return port >= 1 && port <= 65_535 ? port : undefined;
}

function bracketed(host: string): string {
  return host.includes(":") ? `[${host}]` : host;
}
