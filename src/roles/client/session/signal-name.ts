/** Signals as the vault has them, which is Linux: this computer's own numbers may be others. */
const names = [
  ..."HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD".split(" "),
  ..."CONT STOP TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS".split(" "),
];

const signalMax = 64;

/** `TERM`, `SIGTERM`, `sigterm` or `15`; undefined for anything else. */
export function parseSignal(text: string): number | undefined {
  if (/^\d{1,2}$/.test(text)) {
    const number = Number(text);
    return number >= 1 && number <= signalMax ? number : undefined;
  }
  const index = names.indexOf(text.toUpperCase().replace(/^SIG/, ""));
  return index === -1 ? undefined : index + 1;
}

/** `SIGTERM`; one without a name goes by its number. */
export function signalName(number: number): string {
  const name = names[number - 1];
  return name === undefined ? `signal ${number}` : `SIG${name}`;
}
