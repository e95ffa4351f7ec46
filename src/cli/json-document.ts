/** What `--json` prints: one document, on one line. */
export function jsonDocument(schema: string, data: unknown, version = 1): string {
  return `${JSON.stringify({ schema: `fly-vault/${schema}`, version, data })}\n`;
}
