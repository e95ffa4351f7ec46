import { createCipheriv, createDecipheriv, createHmac } from "node:crypto";

/** Packet protection of QUIC (RFC 9001, 5) with AES-128-GCM, for a peer that builds its own packets. */
export interface PacketKeys {
  readonly key: Uint8Array;
  readonly iv: Uint8Array;
  readonly hp: Uint8Array;
}

export function packetKeys(secret: Uint8Array): PacketKeys {
  return {
    key: expandLabel(secret, "quic key", 16),
    iv: expandLabel(secret, "quic iv", 12),
    hp: expandLabel(secret, "quic hp", 16),
  };
}

/** The keys of a client's first flight, which everybody knows who sees its destination id. */
export function initialKeys(dcid: Uint8Array): PacketKeys {
  const initial = createHmac("sha256", initialSalt).update(dcid).digest();
  return packetKeys(expandLabel(initial, "client in", 32));
}

/** `header` ends in the packet number, four bytes long, and stays as it is. */
export function sealPacket(keys: PacketKeys, header: Uint8Array, payload: Uint8Array): Uint8Array {
  const numberAt = header.length - numberBytes;
  const cipher = createCipheriv("aes-128-gcm", keys.key, nonceOf(keys, header.subarray(numberAt)));
  cipher.setAAD(header);
  const body = [cipher.update(payload), cipher.final(), cipher.getAuthTag()];
  const packet = new Uint8Array(Buffer.concat([header, ...body]));
  protect(keys, packet, numberAt, numberBytes);
  return packet;
}

/** The payload of the Initial packet that `datagram` begins with, and the place of its packet number. */
export function openInitial(keys: PacketKeys, datagram: Uint8Array): Uint8Array {
  const packet = datagram.slice();
  let at = 5;
  at += 1 + (packet[at] ?? 0);
  at += 1 + (packet[at] ?? 0);
  const token = readVarint(packet, at);
  const length = readVarint(packet, token.next + token.value);
  const numberAt = length.next;
  const first = packet[0] ?? 0;
  const mask = maskOf(keys, packet, numberAt);
  packet[0] = first ^ ((mask[0] ?? 0) & 0x0f);
  const size = 1 + (packet[0] & 3);
  for (let index = 0; index < size; index++)
    packet[numberAt + index] = (packet[numberAt + index] ?? 0) ^ (mask[1 + index] ?? 0);
  const header = packet.subarray(0, numberAt + size);
  const end = numberAt + length.value;
  const nonce = nonceOf(keys, header.subarray(numberAt));
  const decipher = createDecipheriv("aes-128-gcm", keys.key, nonce);
  decipher.setAAD(header);
  decipher.setAuthTag(packet.subarray(end - tagBytes, end));
  const sealed = packet.subarray(numberAt + size, end - tagBytes);
  return new Uint8Array(Buffer.concat([decipher.update(sealed), decipher.final()]));
}

function protect(keys: PacketKeys, packet: Uint8Array, numberAt: number, size: number): void {
  const mask = maskOf(keys, packet, numberAt);
  const first = packet[0] ?? 0;
  packet[0] = first ^ ((mask[0] ?? 0) & ((first & 0x80) === 0 ? 0x1f : 0x0f));
  for (let index = 0; index < size; index++)
    packet[numberAt + index] = (packet[numberAt + index] ?? 0) ^ (mask[1 + index] ?? 0);
}

function maskOf(keys: PacketKeys, packet: Uint8Array, numberAt: number): Uint8Array {
  const cipher = createCipheriv("aes-128-ecb", keys.hp, null);
  return cipher.update(packet.subarray(numberAt + 4, numberAt + 4 + 16));
}

function nonceOf(keys: PacketKeys, number: Uint8Array): Uint8Array {
  const nonce = keys.iv.slice();
  const at = nonce.length - number.length;
  for (const [index, byte] of number.entries()) nonce[at + index] = (nonce[at + index] ?? 0) ^ byte;
  return nonce;
}

/** HKDF-Expand-Label for at most one block. */
function expandLabel(secret: Uint8Array, label: string, lengthBytes: number): Uint8Array {
  const name = Buffer.from(`tls13 ${label}`, "ascii");
  const info = Buffer.concat([Uint8Array.of(0, lengthBytes, name.length), name, Uint8Array.of(0)]);
  const block = createHmac("sha256", secret).update(info).update(Uint8Array.of(1)).digest();
  return new Uint8Array(block.subarray(0, lengthBytes));
}

function readVarint(bytes: Uint8Array, at: number): { value: number; next: number } {
  const first = bytes[at] ?? 0;
  const length = 1 << (first >> 6);
  let value = first & 0x3f;
  for (let index = 1; index < length; index++) value = value * 256 + (bytes[at + index] ?? 0);
  return { value, next: at + length };
}

const initialSalt = Buffer.from("38762cf7f55934b34d179ae6a4c80cadccbb7f0a", "hex");
const numberBytes = 4;
const tagBytes = 16;
