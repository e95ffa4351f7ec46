/** What `--json` prints: one document, on one line. */
export function jsonDocument(schema: string, data: unknown, version = 1): string {
  return `${JSON.stringify({ schema: `fly-vault/${schema}`, version, data })}\n`;
}

/** What `--json` prints at the end of several lines. */
export function jsonResult(
  schema: string,
  members: Readonly<Record<string, unknown>>,
  version = 1,
): string {
  return `${JSON.stringify({ type: "result", schema: `fly-vault/${schema}`, version, ...members })}\n`;
}
