import { isIPv6 } from "node:net";
import { Failure } from "../../cli/failure.ts";
import { clientGate, type ClientGateOptions } from "../../quic/admission-gate.ts";
import { type Connection, ConnectionClosed, type SocketAddress } from "../../quic/connection.ts";
import { Endpoint } from "../../quic/endpoint.ts";
import { within } from "../../system/within.ts";
import type { Address } from "./address.ts";
import { resolveAddress, showAddress } from "./address.ts";
import { clientLimits } from "./limits.ts";
import { noAnswer } from "./remote-failure.ts";

export interface Dialled {
  readonly endpoint: Endpoint;
  readonly connection: Connection;
}

/**
 * A QUIC connection to whichever of the host's addresses answers first. Each gets a head start over
 * the next one, and is asked again on a schedule; the others are dropped. Nothing is proven yet: that is the login's work.
 */
export async function dial(
  vault: string,
  address: Address,
  admission?: ClientGateOptions,
): Promise<Dialled> {
  const remotes = await resolveAddress(address);
  const over = new AbortController();
  const attempts: Promise<Dialled>[] = [];
  for (const remote of remotes) {
    const started = headStart(attempts.at(-1));
    attempts.push(started.then(() => attempt(remote, over.signal, clientLimits.dialMs, admission)));
  }
  // A handshake cannot be hurried once its first packet is lost; a new one can be begun.
  for (const afterMs of clientLimits.dialAgainMs) {
    const again = Bun.sleep(afterMs);
    const leftMs = clientLimits.dialMs - afterMs;
    for (const remote of remotes)
      attempts.push(again.then(() => attempt(remote, over.signal, leftMs, admission)));
  }
  try {
    const winner = await Promise.any(attempts);
    for (const other of attempts) dropUnless(winner, other);
    return winner;
  } catch (error) {
    throw error instanceof AggregateError
      ? failureOf(vault, remotes, error.errors, admission)
      : error;
  } finally {
    over.abort(new TooLate("Another address answered"));
  }
}

/** Nobody wants this address any more. */
class TooLate extends Error {
  override readonly name = "TooLate";
}

async function headStart(before: Promise<Dialled> | undefined): Promise<void> {
  if (before === undefined) return;
  const failed = before.then(
    () => undefined,
    () => undefined,
  );
  await within(failed, clientLimits.dialStaggerMs);
}

async function attempt(
  remote: SocketAddress,
  over: AbortSignal,
  timeoutMs: number,
  admission: ClientGateOptions | undefined,
): Promise<Dialled> {
  over.throwIfAborted();
  const wildcard = isIPv6(remote.host) ? "::" : "0.0.0.0";
  const endpoint = await Endpoint.open({
    bind: { host: wildcard, port: 0 },
    ...(admission === undefined ? {} : { gate: clientGate(admission) }),
  });
  const giveUp = (): void => void endpoint.close();
  over.addEventListener("abort", giveUp);
  try {
    const connection = await endpoint.connect(remote, { timeoutMs });
    return { endpoint, connection };
  } catch (error) {
    await endpoint.close();
    throw error;
  } finally {
    over.removeEventListener("abort", giveUp);
  }
}

/** Two may have answered in the same moment. */
function dropUnless(winner: Dialled, other: Promise<Dialled>): void {
  other
    .then((dialled) => (dialled === winner ? undefined : dialled.endpoint.close()))
    .catch(() => undefined);
}

function failureOf(
  vault: string,
  remotes: readonly SocketAddress[],
  errors: readonly unknown[],
  admission: ClientGateOptions | undefined,
): unknown {
  const bug = errors.find(
    (error) => !(error instanceof ConnectionClosed || error instanceof TooLate || isSystem(error)),
  );
  if (bug !== undefined) return bug;
  const told = errors.find((error) => error instanceof ConnectionClosed);
  const where = remotes.map(showAddress).join(", ");
  if (told !== undefined && told.reason.kind !== "handshake-timeout")
    return new Failure("FV-NET-002", `"${vault}" did not let us connect`, {
      because: `${where} over UDP: ${told.message}`,
      fix: "see that the address is that of a fly-vault machine or proxy",
    });
  const because = `${where} over UDP: no reply in ${clientLimits.dialMs / 1000} s`;
  return noAnswer(vault, because, admission === undefined ? wantsKey : refusesKey);
}

/** A machine that does not admit us is silent, whatever the reason. */
const wantsKey = "that the machine has no admission key (else set admission_key)";
const refusesKey =
  "that this computer's clock is right, and that admission_key is the one the machine has";

function isSystem(error: unknown): boolean {
  return error instanceof Error && "syscall" in error;
}
