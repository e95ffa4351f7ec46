import { admissionBytes, admissionMagic } from "../../../quic/admission-header.ts";
import { connectionIdBytes } from "../../../quic/connection-id.ts";
import { quicLimits } from "../../../quic/limits.ts";
import { filterCodes, type FilterInstruction } from "../../../system/packet-filter.ts";

/** Set in every QUIC datagram of version 1. */
export const quicBit = 0x40;
export const bareBytesMin: number = 1 + connectionIdBytes;
export const admissionBytesMin: number = admissionBytes + quicLimits.initialDatagramBytesMin;
const udpHeaderBytes = 8;
const ethernetPayloadBytes = 1500;

/**
 * What can be nothing for us, dropped by the kernel before it costs a system call: neither an admission of
 * the least size nor bare QUIC with room for one of our connection ids.
 *
 * Where the network card or the sender joined equal datagrams of one client, the filter sees them as one:
 * the first byte of the first, and the length of all. The two limits on lengths are still right then, as
 * none of the parts is longer than the whole. The first byte may be wrong for the others, so what is longer
 * than one datagram of a usual network passes; whoever reads looks at every datagram anyway.
 */
export const publicFilter: readonly FilterInstruction[] = [
  [filterCodes.loadLength, 0, 0, 0],
  [filterCodes.jumpIfAtLeast, 8, 0, udpHeaderBytes + ethernetPayloadBytes + 1],
  [filterCodes.loadByte, 0, 0, udpHeaderBytes],
  [filterCodes.jumpIfAnyBit, 0, 2, quicBit],
  [filterCodes.loadLength, 0, 0, 0],
  [filterCodes.jumpIfAtLeast, 4, 3, udpHeaderBytes + bareBytesMin],
  [filterCodes.jumpIfEqual, 0, 2, admissionMagic],
  [filterCodes.loadLength, 0, 0, 0],
  [filterCodes.jumpIfAtLeast, 1, 0, udpHeaderBytes + admissionBytesMin],
  [filterCodes.result, 0, 0, 0],
  [filterCodes.result, 0, 0, 0xffff_ffff],
];

/** Admissions to the second socket, all else to the first: a flood of the one never crowds out the other. */
export const admissionChooser: readonly FilterInstruction[] = [
  [filterCodes.loadByte, 0, 0, 0],
  [filterCodes.jumpIfEqual, 0, 1, admissionMagic],
  [filterCodes.result, 0, 0, 1],
  [filterCodes.result, 0, 0, 0],
];
