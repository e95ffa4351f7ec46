/** Where a client's datagrams come from: one address and port, at one of our doors. */
export interface Source {
  /** Tells tuples apart. IPv4: address × 65 536 + port, a number below 2^48; all others text. */
  readonly key: number | string;
  /** What limits count by: the IPv4 address as a number, or the /64 of an IPv6 one as text. */
  readonly network: number | string;
}
