export interface ChildOutcome {
  readonly out: string;
  readonly err: string;
  readonly code: number;
}

/** Runs a program to its end, with nothing to read. */
export async function childOutcome(
  argv: readonly string[],
  options: { readonly cwd?: string; readonly env?: Readonly<Record<string, string>> } = {},
): Promise<ChildOutcome> {
  const child = Bun.spawn([...argv], {
    ...options,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, err, code] = await Promise.all([
    child.stdout.text(),
    child.stderr.text(),
    child.exited,
  ]);
  return { out, err, code };
}
