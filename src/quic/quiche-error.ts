/** quiche's errors reach us as exceptions whose message is `Name` or `Name(code)`. */
export interface QuicheError {
  readonly name: string;
  readonly code: number | undefined;
}

/** Null where quiche refuses, since what it is about is over already. */
export function attempt<Result>(action: () => Result): Result | null {
  try {
    return action();
  } catch (error) {
    quicheError(error);
    return null;
  }
}

export function quicheError(error: unknown): QuicheError {
  const message = error instanceof Error ? error.message : String(error);
  const match = /^([A-Za-z]+)(?:\((\d{1,20})\))?$/.exec(message);
  if (match === null) throw error;
  const [, name = "", digits] = match;
  return { name, code: digits === undefined ? undefined : Number(digits) };
}
