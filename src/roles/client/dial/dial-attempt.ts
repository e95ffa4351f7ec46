import { clientGate, type ClientGateOptions } from "../../../quic/admission-gate.ts";
import type { AdmissionHint } from "../../../quic/admission-hint.ts";
import type { DatagramReceiver, OpenCarrier } from "../../../quic/carrier.ts";
import type { Connection, SocketAddress } from "../../../quic/connection.ts";
import { Endpoint } from "../../../quic/endpoint.ts";
import { PathNotices } from "./path-notices.ts";
import type { Transport } from "./transport.ts";

/** A QUIC connection whose handshake is over. Nothing is proven yet: that is the login's work. */
export interface Dialled {
  readonly endpoint: Pick<Endpoint, "rebind" | "close">;
  readonly connection: Connection;
  readonly transport: Transport;
  readonly notices: PathNotices;
}

/** Where to, and by what. */
export interface DialTarget {
  readonly transport: Transport;
  /** For messages. */
  readonly where: string;
  readonly bind: SocketAddress;
  readonly remote: SocketAddress;
  readonly carrier: (notices: PathNotices, over: AbortSignal) => OpenCarrier;
}

export interface AttemptOptions {
  readonly admission: ClientGateOptions | undefined;
  readonly timeoutMs: number;
  /** Aborted when nobody wants the connection any more. */
  readonly over: AbortSignal;
  /** Something came back, whatever it says. */
  readonly onReply: () => void;
}

/** Nobody wants this connection any more. */
export class TooLate extends Error {
  override readonly name = "TooLate";
}

/** Rejects with `TooLate`, `ConnectionClosed`, `WebSocketFailed` or the system's error. */
export async function attempt(target: DialTarget, options: AttemptOptions): Promise<Dialled> {
  const { admission, timeoutMs, over, onReply } = options;
  const notices = new PathNotices();
  over.throwIfAborted();
  const endpoint = await Endpoint.open({
    bind: target.bind,
    openCarrier: heard(target.carrier(notices, over), target.remote, onReply),
    ...(admission === undefined ? {} : { gate: clientGate(noticed(admission, notices)) }),
  });
  const giveUp = (): void => void endpoint.close();
  over.addEventListener("abort", giveUp);
  try {
    over.throwIfAborted();
    const connection = await endpoint.connect(target.remote, { timeoutMs });
    return { endpoint, connection, transport: target.transport, notices };
  } catch (error) {
    await endpoint.close();
    over.throwIfAborted();
    throw error;
  } finally {
    over.removeEventListener("abort", giveUp);
  }
}

function heard(open: OpenCarrier, remote: SocketAddress, onReply: () => void): OpenCarrier {
  return (bind, receive, knows) => {
    const listen: DatagramReceiver = (datagram, port, host) => {
      if (port === remote.port) onReply();
      receive(datagram, port, host);
    };
    return open(bind, listen, knows);
  };
}

/** A proxy that goes says so for as long as the connection lives. */
function noticed(admission: ClientGateOptions, notices: PathNotices): ClientGateOptions {
  const onHint = (hint: AdmissionHint): void => {
    if (hint.state === "draining") notices.tell("draining");
    admission.onHint?.(hint);
  };
  return { ...admission, onHint };
}
