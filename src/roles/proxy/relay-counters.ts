import { constants } from "node:os";

/** Datagrams that the loop lost by itself, whatever the core had decided. */
export const loopDropCauses = [
  /** No descriptor, or no memory, for one more socket. */
  "descriptors",
  /** The kernel knows no way to the machine's address. */
  "no-route",
  /** More waited for a socket to a machine that was full. */
  "machine-blocked",
  "client-blocked",
  /** Larger than the interface takes in one piece. */
  "too-big",
  "refused",
  "send-failed",
  /** At the door of the web process. */
  "door",
  /** A mistake of ours. */
  "internal",
] as const;

export type LoopDropCause = (typeof loopDropCauses)[number];

/** What the loop has done since it started. Plain numbers: they are counted for every datagram. */
export class RelayCounters {
  fromClientsDatagrams = 0;
  fromClientsBytes = 0;
  toMachinesDatagrams = 0;
  fromMachinesDatagrams = 0;
  fromMachinesBytes = 0;
  toClientsDatagrams = 0;
  hints = 0;
  flowsOpened = 0;
  flowsClosed = 0;
  turns = 0;
  readonly #drops = new Map<LoopDropCause, number>();

  drop(cause: LoopDropCause, datagrams = 1): void {
    this.#drops.set(cause, (this.#drops.get(cause) ?? 0) + datagrams);
  }

  sendFailed(errno: number, datagrams: number): void {
    this.drop(sendCauses.get(errno) ?? "send-failed", datagrams);
  }

  get drops(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.#drops);
  }

  /** Names as in docs/proxy.md, less their prefix. */
  get counters(): Readonly<Record<string, number>> {
    return {
      datagrams_from_clients_total: this.fromClientsDatagrams,
      bytes_from_clients_total: this.fromClientsBytes,
      datagrams_to_machines_total: this.toMachinesDatagrams,
      datagrams_from_machines_total: this.fromMachinesDatagrams,
      bytes_from_machines_total: this.fromMachinesBytes,
      datagrams_to_clients_total: this.toClientsDatagrams,
      hints_total: this.hints,
      flows_opened_total: this.flowsOpened,
      flows_closed_total: this.flowsClosed,
      turns_total: this.turns,
    };
  }
}

const { ECONNREFUSED, EHOSTUNREACH, EMSGSIZE, ENETUNREACH } = constants.errno;
const sendCauses: ReadonlyMap<number, LoopDropCause> = new Map([
  [EMSGSIZE, "too-big"],
  [ECONNREFUSED, "refused"],
  [EHOSTUNREACH, "no-route"],
  [ENETUNREACH, "no-route"],
]);
