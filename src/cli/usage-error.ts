/**
 * The words of the command line are wrong. Printed as two lines, the second being the usage of the
 * command at hand; exit code 2 and nothing done.
 */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** Nothing was said but the program's name. */
export class MissingCommand extends UsageError {}
