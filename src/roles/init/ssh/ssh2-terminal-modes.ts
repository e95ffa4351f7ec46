import messageHandlers from "ssh2/lib/protocol/handlers.js";
import { WireError } from "../../../protocol/errors.ts";
import { Reader } from "../../../protocol/wire.ts";
import type { TerminalMode } from "../../../system/pty-modes.ts";

/**
 * ssh2 reads terminal modes from the wrong place, and knows no IUTF8, which every OpenSSH sends. So
 * they are read here, before its own reader of channel requests sees the packet. What a client sends
 * before its session starts is in order, so the last ones of a connection are those of the session.
 */
const lastModes = new WeakMap<object, readonly TerminalMode[]>();

export function readTerminalModes(): void {
  const original = messageHandlers[channelRequest];
  if (original === undefined) throw new Error("ssh2 has no reader of channel requests");
  messageHandlers[channelRequest] = (protocol, payload) => {
    const modes = modesOf(payload);
    if (modes !== undefined) lastModes.set(protocol, modes);
    original(protocol, payload);
  };
}

/** For the handler of `pty`. */
export function terminalModesOf(connection: object): readonly TerminalMode[] {
  const { _protocol: protocol } = connection as { readonly _protocol: object };
  return lastModes.get(protocol) ?? [];
}

/** Undefined for what is no `pty-req`, or no whole one, of which ssh2 says so. */
export function modesOf(payload: Uint8Array): readonly TerminalMode[] | undefined {
  const reader = new Reader(payload, "Channel request");
  try {
    reader.bytes(5);
    const type = reader.bytes(reader.u32());
    if (Buffer.from(type).toString("latin1") !== "pty-req") return undefined;
    reader.u8();
    reader.bytes(reader.u32());
    reader.bytes(16);
    return decodeModes(reader.bytes(reader.u32()));
  } catch (error) {
    if (error instanceof WireError) return undefined;
    throw error;
  }
}

/** Opcodes from 160 on have arguments of nobody knows what length: the rest is left. */
function decodeModes(bytes: Uint8Array): readonly TerminalMode[] {
  const reader = new Reader(bytes, "Terminal modes");
  const modes: TerminalMode[] = [];
  for (let left = bytes.length; left >= 5 && modes.length < modesMax; left -= 5) {
    const opcode = reader.u8();
    if (opcode === 0 || opcode >= 160) break;
    modes.push([opcode, reader.u32()]);
  }
  return modes;
}

const channelRequest = 98;
/** As many as there are opcodes. */
const modesMax = 159;
