export interface LoadPlan {
  readonly target: { readonly host: string; readonly port: number };
  readonly backend: { readonly host: string; readonly port: number };
  readonly flows: number;
  readonly datagramBytes: number;
  readonly seconds: number;
  /** When latency is measured. */
  readonly pacedPerSecond: number;
  readonly healthyPerSecond: number;
  readonly epoch: number;
  /** Hexadecimal. */
  readonly master: string;
}

/** As many flows of one machine as it may open at once. */
export function machinesOf(flows: number): number {
  return Math.ceil(flows / 16);
}

export function machineIdOf(machine: number): string {
  return (0x148e_0000_0000_00 + machine).toString(16).padStart(14, "0");
}

/** Somewhere in 127.64.0.0/10. */
export function flowAddress(flow: number): string {
  return `127.${64 + (flow >> 16)}.${(flow >> 8) & 0xff}.${flow & 0xff}`;
}
