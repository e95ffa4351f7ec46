/* oxlint-disable no-underscore-dangle -- they are ssh2's own names */
import type { Connection, ServerChannel } from "ssh2";

/**
 * What we use of ssh2 beyond its documented face, in one place: its version is pinned, and the
 * conformance tests go through all of this.
 */
export interface ChannelInside {
  /** False once we have ended or closed our half, or the client has closed the channel. */
  readonly isWritable: boolean;
  /** Sends as much as the client's window and the size of a packet let through; 0: no window. */
  send(bytes: Uint8Array, kind: "data" | "error"): number;
  /** Calls `body` at the next opening of the window. */
  onWindow(body: () => void): void;
  /** Once, when the client closes the channel or the connection is over, read to its end or not. */
  onClosed(body: () => void): void;
  /** The client's window is opened again only when less than this waits to be read. */
  limitReadAhead(bytesMax: number): void;
  close(): void;
}

interface RawChannel {
  readonly outgoing: { id: number; window: number; packetSize: number; state: string };
  readonly _client: { readonly _protocol: RawProtocol };
  readonly _readableState: { highWaterMark: number };
  readonly stderr: { once(event: "finish", body: () => void): void };
  _waitWindow: boolean;
  _chunk: unknown;
  _chunkcb: (() => void) | undefined;
  close(): void;
}

interface RawProtocol {
  channelData(id: number, bytes: Buffer): void;
  channelExtData(id: number, bytes: Buffer, type: number): void;
  openssh_authAgent(id: number, window: number, packetBytes: number): void;
}

export function insideOf(channel: ServerChannel): ChannelInside {
  const raw = channel as unknown as RawChannel;
  const { outgoing, _client: client } = raw;
  return {
    get isWritable() {
      return outgoing.state === "open";
    },
    send: (bytes, kind) => {
      const count = Math.min(bytes.length, outgoing.window, outgoing.packetSize);
      if (count === 0) return 0;
      const slice = Buffer.from(bytes.buffer, bytes.byteOffset, count);
      if (kind === "data") client._protocol.channelData(outgoing.id, slice);
      else client._protocol.channelExtData(outgoing.id, slice, extendedStderr);
      outgoing.window -= count;
      return count;
    },
    onWindow: (body) => {
      raw._chunk = undefined;
      raw._chunkcb = body;
      raw._waitWindow = true;
    },
    // It ends this stream, of which we make no use, in both cases and at once.
    onClosed: (body) => raw.stderr.once("finish", body),
    limitReadAhead: (bytesMax) => {
      raw._readableState.highWaterMark = bytesMax;
    },
    close: () => raw.close(),
  };
}

/** ssh2 serves agent forwarding only in its client. Calls `opened` with nothing when the client refuses. */
export function openAgentChannel(
  connection: Connection,
  opened: (channel: ServerChannel | undefined) => void,
): void {
  const raw = connection as unknown as {
    readonly _chanMgr: { add(waiting: unknown): number };
    readonly _protocol: RawProtocol;
  };
  const waiting = Object.assign(
    (error: Error | undefined, channel?: ServerChannel) =>
      opened(error === undefined ? channel : undefined),
    { type: "auth-agent@openssh.com" },
  );
  const id = raw._chanMgr.add(waiting);
  if (id === -1) opened(undefined);
  else raw._protocol.openssh_authAgent(id, agentWindowBytes, agentPacketBytes);
}

const extendedStderr = 1;
const agentWindowBytes = 2 * 1024 * 1024;
const agentPacketBytes = 32 * 1024;

/** What a connection was given as its socket. */
export function transportOf(connection: Connection): unknown {
  return (connection as unknown as { readonly _sock: unknown })._sock;
}

/** Channels of a connection that are open or about to be. */
export function channelCount(connection: Connection): number {
  return (connection as unknown as { readonly _chanMgr: { readonly _count: number } })._chanMgr
    ._count;
}
