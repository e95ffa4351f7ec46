import {
  bindSocket,
  boundAddress,
  closeSocket,
  type DatagramAddress,
  openDatagramSocket,
  setBufferBytes,
  setSocketOption,
  socketOptions,
} from "../../../system/datagram-socket.ts";
import { attachChooser, attachFilter } from "../../../system/packet-filter.ts";
import { ClientTable } from "./client-table.ts";
import { ClientWay } from "./client-way.ts";
import { proxyLimits } from "../limits.ts";
import { admissionChooser, publicFilter } from "./public-filter.ts";
import type { RelayCounters } from "../relay-counters.ts";

/**
 * One public address. Two sockets share it, and the kernel puts admissions into the one and what goes bare
 * into the other: each has a queue of its own.
 */
export interface PublicSocket {
  readonly address: DatagramAddress;
  /** All answers leave by its descriptor, which reads what goes bare. */
  readonly way: ClientWay;
  readonly admissions: number;
  readonly clients: ClientTable;
}

/** Throws `SystemError`. `index` and `seed` are for the table of its clients. */
export function openPublicSocket(
  wanted: DatagramAddress,
  counters: RelayCounters,
  { index, seed }: { readonly index: number; readonly seed: number },
): PublicSocket {
  const address = freeAddress(wanted);
  const bare = openShared(address, proxyLimits.publicBufferBytes);
  attachChooser(bare, admissionChooser);
  const admissions = openShared(address, proxyLimits.admissionBufferBytes);
  const way = new ClientWay(bare, counters);
  return { address, way, admissions, clients: new ClientTable(way, index, seed) };
}

/** A socket that may share its port shares it with strangers of our user, too: another proxy, say. */
function freeAddress(wanted: DatagramAddress): DatagramAddress {
  const probe = openDatagramSocket(familyOf(wanted));
  try {
    bindSocket(probe, wanted);
    return boundAddress(probe);
  } finally {
    closeSocket(probe);
  }
}

function openShared(address: DatagramAddress, receiveBytes: number): number {
  const descriptor = openDatagramSocket(familyOf(address));
  setSocketOption(descriptor, socketOptions.sharePort, 1);
  setSocketOption(descriptor, socketOptions.joinReceived, 1);
  setBufferBytes(descriptor, receiveBytes, proxyLimits.publicBufferBytes);
  attachFilter(descriptor, publicFilter);
  bindSocket(descriptor, address);
  return descriptor;
}

function familyOf({ host }: DatagramAddress): 4 | 6 {
  return host.includes(":") ? 6 : 4;
}
