import { constants } from "node:os";

/** Names as RFC 4254 has them, without SIG. */
export function signalNumber(name: string): number | undefined {
  return Object.hasOwn(constants.signals, `SIG${name}`)
    ? constants.signals[`SIG${name}` as NodeJS.Signals]
    : undefined;
}

/** Signals the RFC does not name are called by their number, in the form it gives for names of one's own. */
export function signalName(number: number): string {
  const found = Object.entries(constants.signals).find(([, value]) => value === number);
  return found === undefined ? `SIG${number}@fly-vault` : found[0].slice("SIG".length);
}
