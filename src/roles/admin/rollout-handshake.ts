import { isIP } from "node:net";
import { networkInterfaces } from "node:os";
import type { Context } from "../../cli/context.ts";
import type { FlyMachine } from "../../fly/machine-shape.ts";
import { clientGate } from "../../quic/admission-gate.ts";
import { type AdmissionKey, parseAdmissionKeys } from "../../quic/admission-key.ts";
import type { DatagramGate } from "../../quic/carrier.ts";
import { closeCodes, ConnectionClosed, type SocketAddress } from "../../quic/connection.ts";
import { Endpoint } from "../../quic/endpoint.ts";
import { isLoopback } from "../../system/ip-address.ts";
import { admissionKeyVariable } from "./admission-keys.ts";
import { listenPort } from "./vault-block.ts";

/** Resolves when init has answered; rejects with `HandshakeFailed`. */
export type Handshake = (machine: FlyMachine, timeoutMs: number) => Promise<void>;

export class HandshakeFailed extends Error {
  override readonly name = "HandshakeFailed";
}

/**
 * A QUIC handshake with the machine's init, at its private address and with its admission key if it
 * has one. Proves that init runs and accepts links; what it is, a login would have to prove.
 */
export function quicHandshake(context: Pick<Context, "wallMs" | "randomBytes">): Handshake {
  return async (machine, timeoutMs) => {
    const host = machine.private_ip ?? "";
    if (isIP(host) === 0)
      throw new HandshakeFailed("init cannot be asked: the machine has no address");
    const port = Number(listenPort(machine.config));
    if (port > 65_535) throw new HandshakeFailed(`init cannot be asked: ${port} is no port`);
    const key = admissionKeyOf(machine);
    const { wallMs, randomBytes } = context;
    const gate = key && clientGate({ key, wallMs, randomBytes });
    try {
      await connectOnce({ host, port }, timeoutMs, gate);
    } catch (error) {
      const how = key === undefined ? "without an admission key" : "with its admission key";
      const words = failureWords(error);
      if (words === undefined) throw error;
      throw new HandshakeFailed(`init does not shake hands ${how}: ${words}`);
    }
  };
}

async function connectOnce(
  remote: SocketAddress,
  timeoutMs: number,
  gate: DatagramGate | undefined,
): Promise<void> {
  const endpoint = await Endpoint.open({
    bind: { host: isIP(remote.host) === 6 ? "::" : "0.0.0.0", port: 0 },
    ...(gate === undefined ? {} : { gate }),
  });
  try {
    const connection = await endpoint.connect(remote, { timeoutMs });
    connection.close(closeCodes.done, "");
  } finally {
    await endpoint.close();
  }
}

/** What the link or the system said; undefined for mistakes of ours. */
function failureWords(error: unknown): string | undefined {
  if (error instanceof ConnectionClosed) return error.reason.kind;
  return error instanceof Error && "code" in error ? String(error.code) : undefined;
}

/** Why machines cannot be asked from this computer; undefined where they can. */
export function unreachableReason(
  machines: readonly FlyMachine[],
  ownAddresses: readonly string[] = localAddresses(),
): string | undefined {
  const far = machines.some(({ private_ip: address }) => !isLoopback(address ?? "::1"));
  if (!far || ownAddresses.some((address) => isPrivateNetwork(address))) return undefined;
  return "this computer has no address in Fly's private network (fdaa::/16)";
}

function admissionKeyOf(machine: FlyMachine): AdmissionKey | undefined {
  const text = machine.config?.env?.[admissionKeyVariable];
  if (text === undefined || text === "") return undefined;
  try {
    return parseAdmissionKeys(text)[0];
  } catch {
    throw new HandshakeFailed(`init cannot be asked: ${admissionKeyVariable} is none of our keys`);
  }
}

function localAddresses(): string[] {
  return Object.values(networkInterfaces()).flatMap((each) =>
    (each ?? []).map(({ address }) => address),
  );
}

function isPrivateNetwork(address: string): boolean {
  return /^fdaa:/iu.test(address);
}
